/** Subtitles from the times of words. */

const LINE_CHARS = 42;
const LINES = 2;
const LONGEST_S = 6;
/** Between words that are further apart, a subtitle ends. */
const PAUSE_S = 0.8;

/**
 * @typedef {object} Cue
 * @property {number} start s
 * @property {number} end s
 * @property {string} text one line or two
 */

/**
 * @param {string} text
 * @param {import("./marks.js").Mark[]} marks
 * @param {number} rate Hz
 * @returns {Cue[]}
 */
export function makeCues(text, marks, rate) {
  /** @type {Cue[]} */
  const cues = [];
  /** @type {{text: string, start: number, end: number}[]} */
  let words = [];
  const close = () => {
    if (!words.length) return;
    const { start } = words[0];
    const { end } = words[words.length - 1];
    cues.push({ start, end: Math.max(end, start + 0.2), text: wrap(words.map((one) => one.text)) });
    words = [];
  };
  for (const word of joinWords(text, marks, rate)) {
    const last = words[words.length - 1];
    if (last) {
      const chars = words.reduce((sum, one) => sum + one.text.length + 1, word.text.length);
      const full = chars > LINES * (LINE_CHARS - 4) || word.end - words[0].start > LONGEST_S;
      const pause = word.start - last.end;
      const endsSentence = pause > 0 && /[.!?…]["'”’)\]]*$/u.test(last.text); // else as in "Dr. No"
      if (full || endsSentence || pause > PAUSE_S) close();
    }
    words.push(word);
  }
  close();
  for (let at = 0; at + 1 < cues.length; at += 1) {
    cues[at].end = Math.min(cues[at].end, cues[at + 1].start);
  }
  return cues;
}

/** @param {Cue[]} cues */
export function toSrt(cues) {
  const blocks = cues.map(
    (cue, at) => `${at + 1}\n${clock(cue.start, ",")} --> ${clock(cue.end, ",")}\n${cue.text}\n`,
  );
  return blocks.join("\n");
}

/** @param {Cue[]} cues */
export function toVtt(cues) {
  const blocks = cues.map(
    (cue) => `${clock(cue.start, ".")} --> ${clock(cue.end, ".")}\n${escape(cue.text)}\n`,
  );
  return `WEBVTT\n\n${blocks.join("\n")}`;
}

/** Words with the punctuation around them; a word may have several marks, and a mark several words. @param {string} text @param {import("./marks.js").Mark[]} marks @param {number} rate */
function joinWords(text, marks, rate) {
  /** @type {{text: string, start: number, end: number}[]} */
  const words = [];
  let at = 0;
  let saidTo = 0;
  for (const word of text.matchAll(/\S+/gu)) {
    const begun = at;
    while (at < marks.length && marks[at].startChar < word.index + word[0].length) at += 1;
    const within = marks.slice(begun, at);
    if (word.index < saidTo) {
      words[words.length - 1].text += ` ${word[0]}`; // one mark has several words, as "$5 million"
    } else if (within.length) {
      words.push({ text: word[0], start: within[0].start / rate, end: 0 });
    }
    if (within.length) {
      const last = within[within.length - 1];
      words[words.length - 1].end = last.end / rate;
      saidTo = last.endChar;
    }
  }
  return words;
}

/** Lines that are about equally long. @param {string[]} words */
function wrap(words) {
  const whole = words.join(" ");
  if (whole.length <= LINE_CHARS) return whole;
  let best = 1;
  let difference = Infinity;
  for (let at = 1; at < words.length; at += 1) {
    const upper = words.slice(0, at).join(" ").length;
    const lower = whole.length - upper - 1;
    if (Math.abs(upper - lower) < difference) {
      difference = Math.abs(upper - lower);
      best = at;
    }
  }
  return [words.slice(0, best), words.slice(best)]
    .filter((line) => line.length)
    .map((line) => line.join(" "))
    .join("\n");
}

/** @param {number} seconds @param {string} point */
function clock(seconds, point) {
  const ms = Math.round(1000 * seconds);
  /** @param {number} value @param {number} digits */
  const pad = (value, digits) => String(Math.floor(value)).padStart(digits, "0");
  const parts = [ms / 3600000, (ms / 60000) % 60, (ms / 1000) % 60].map((one) => pad(one, 2));
  return `${parts.join(":")}${point}${pad(ms % 1000, 3)}`;
}

/** @param {string} text */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
