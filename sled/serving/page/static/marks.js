/** Words and when they are said. */

/**
 * @typedef {object} Mark
 * @property {string} text
 * @property {number} start sample of the tape
 * @property {number} end
 * @property {number} startChar place in the text of the reading
 * @property {number} endChar
 */

/**
 * Marks as the server tells them, which count from the beginning of their utterance.
 *
 * @param {import("./socket.js").WireMark[]} marks
 * @param {{start: number, startChar: number}} utterance where it begins
 * @param {number} rate Hz
 * @returns {Mark[]}
 */
export function placeMarks(marks, utterance, rate) {
  const start = Math.max(0, utterance.start);
  return marks.map((mark) => ({
    text: mark.text,
    start: start + (mark.start_ms * rate) / 1000,
    end: start + (mark.end_ms * rate) / 1000,
    startChar: utterance.startChar + mark.start_char,
    endChar: utterance.startChar + mark.end_char,
  }));
}

/**
 * The text whose words have begun.
 *
 * @param {string} text
 * @param {Mark[]} marks
 * @param {number} sample
 */
export function heardText(text, marks, sample) {
  const begun = marks.filter((mark) => mark.start < sample);
  return begun.length ? text.slice(0, begun[begun.length - 1].endChar) : "";
}
