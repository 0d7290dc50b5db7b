/** A chat transcript, played as a chat model would write it. */

/** How often tokens are written, in ms. */
const STEP_MS = 20;
/** Between an answer's end and the next turn. */
const BETWEEN_MS = 400;
const LABEL =
  /^\s*(?:\*\*)?(user|you|human|me|system|assistant|ai|bot|model|chatgpt|claude|gpt[-\w.]*)(?:\*\*)?\s*:(?:\*\*)?\s*/i;
const LISTENERS = new Set(["user", "you", "human", "me", "system"]);

/**
 * @typedef {object} Turn
 * @property {string} role such as "User"; "" if the transcript names none
 * @property {string} text
 * @property {boolean} spoken whether it is an answer, which is spoken
 */

/**
 * Divide a transcript at lines that begin with "User:", "Assistant:" and the like.
 *
 * @param {string} text
 * @returns {Turn[]}
 */
export function parseTurns(text) {
  /** @type {Turn[]} */
  const turns = [];
  for (const line of text.split("\n")) {
    const label = LABEL.exec(line);
    if (label) {
      const role = label[1];
      const spoken = !LISTENERS.has(role.toLowerCase());
      turns.push({ role, spoken, text: line.slice(label[0].length) });
    } else if (turns.length) {
      turns[turns.length - 1].text += `\n${line}`;
    } else {
      turns.push({ role: "", spoken: true, text: line });
    }
  }
  return turns.map((turn) => ({ ...turn, text: turn.text.trim() })).filter((turn) => turn.text);
}

/** Pieces of about the size of a chat model's tokens. @param {string} text */
export function tokens(text) {
  return text.match(/\s*[\p{L}\p{N}]{1,5}|\s*[^\s\p{L}\p{N}]+|\s+/gu) ?? [];
}

/**
 * Write the turns; each answer begins when the one before it has been heard.
 *
 * @param {Turn[]} turns
 * @param {object} play
 * @param {() => number} play.rate tokens a second, which may change
 * @param {(turn: Turn) => void} play.show shows a turn that is not spoken
 * @param {(token: string) => void} play.write
 * @param {() => void} play.finish ends an answer
 * @param {() => boolean} play.heard whether all answers so far were heard
 * @param {() => boolean} play.stopped
 */
export async function playTurns(turns, play) {
  let between = "";
  for (const turn of turns) {
    if (play.stopped()) return;
    if (!turn.spoken) {
      play.show(turn);
      continue;
    }
    await playTokens(tokens(between + turn.text), play);
    between = "\n\n";
    if (play.stopped()) return;
    play.finish();
    while (!play.heard() && !play.stopped()) await sleep(STEP_MS);
    await sleep(BETWEEN_MS);
  }
}

/**
 * @param {string[]} pieces
 * @param {{rate: () => number, write: (token: string) => void, stopped: () => boolean}} play
 */
async function playTokens(pieces, { rate, write, stopped }) {
  let budget = 1;
  let before = performance.now();
  for (let place = 0; place < pieces.length && !stopped();) {
    const now = performance.now();
    budget += (rate() * (now - before)) / 1000;
    before = now;
    for (; budget >= 1 && place < pieces.length; budget -= 1) write(pieces[place++]);
    if (place < pieces.length) await sleep(STEP_MS);
  }
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
