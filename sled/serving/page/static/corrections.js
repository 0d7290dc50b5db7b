/** What can be kept of speech when its text is changed. */

/**
 * How much of the speech can be kept if the text is the same up to a character.
 *
 * Whole words before it are kept. If a word behind them has been heard already, its sentence is
 * said anew, so that the listener hears the change in its context.
 *
 * @param {{text: string, marks: import("./marks.js").Mark[], length: number}} old the text, the
 *   words said, and the samples there are
 * @param {number} same characters
 * @param {string} text the new text
 * @param {number} heard samples
 * @returns {{char: number, sample: number}} what is kept of the new text and of the old speech
 */
export function keepUntil(old, same, text, heard) {
  const whole = old.marks.filter(
    (mark) =>
      mark.endChar <= same &&
      !isLetter(text.charAt(mark.endChar)) &&
      !isLetter(old.text.charAt(mark.endChar)),
  );
  const last = whole[whole.length - 1];
  const char = last ? last.endChar : 0;
  const outdated = old.marks.some((mark) => mark.startChar >= char && mark.start < heard);
  if (!outdated && (last || !old.length)) {
    // The silence behind the last word was perhaps heard, too: no reason to go back.
    const sample = Math.max(last ? last.end : 0, Math.min(heard, old.length));
    return { char, sample };
  }
  const begin = sentenceStart(text, Math.min(same, last ? char : same));
  if (!old.marks.length) return { char: begin, sample: heard };
  const before = whole.filter((mark) => mark.endChar <= begin);
  return { char: begin, sample: before.length ? before[before.length - 1].end : 0 };
}

/** Characters at the beginning that two texts share. @param {string} one @param {string} other */
export function commonLength(one, other) {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}

/** Where the sentence around a character begins. @param {string} text @param {number} char */
export function sentenceStart(text, char) {
  const ends = [...text.slice(0, char).matchAll(/[.!?…]["'”’)\]]*\s+|\n+/gu)];
  const end = ends[ends.length - 1];
  return end ? end.index + end[0].length : 0;
}

/** @param {string} char */
function isLetter(char) {
  return /[\p{L}\p{N}'’-]/u.test(char);
}
