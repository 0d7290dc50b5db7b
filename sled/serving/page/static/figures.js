/** Measures a reading while it is heard: first audio, lead, underruns, real-time factor. */

import { byId } from "./dom.js";

/** A model may wait for more text if less than this is unsaid: `english` does with up to 57. */
const TEXT_AHEAD_CHARS = 64;
/** The server sends no faster than real time when its audio is so far ahead. */
const PACED_LEAD_S = 8;

export class Figures {
  /** @param {import("./player.js").Player} player */
  constructor(player) {
    this.player = player;
    this.textWasLate = false;
    /** @type {import("./reading.js").Reading | null} */
    this.reading = null;
    this.underruns = this.underrunS = this.silentMs = this.busyMs = this.madeS = this.cameMs = 0;
    player.addEventListener("state", () => this.#watchSilence());
  }

  reset() {
    this.underruns = 0;
    this.underrunS = 0;
    /** When silence began for which the server is to blame; 0: there is none. */
    this.silentMs = 0;
    /** Whether silence began for want of text; the server needs a moment when that comes. */
    this.textWasLate = false;
    this.busyMs = 0;
    this.madeS = 0;
    /** When audio came last, if nothing but the model has delayed the next. */
    this.cameMs = 0;
  }

  /** @param {import("./reading.js").Reading} reading */
  begin(reading) {
    this.reading = reading;
    this.reset();
    reading.addEventListener("audio", (event) => {
      if (reading === this.reading) this.#onAudio(/** @type {CustomEvent} */ (event).detail);
    });
  }

  /** Milliseconds from the first text to the first audio; null before it. */
  get firstAudioMs() {
    const { reading } = this;
    return reading?.firstAudioMs ? reading.firstAudioMs - reading.firstTextMs : null;
  }

  /** Computing time per second of audio; null before it is known. */
  get realTimeFactor() {
    return this.madeS > 0.5 ? this.busyMs / 1000 / this.madeS : null;
  }

  show() {
    const { firstAudioMs, realTimeFactor } = this;
    const lead = this.reading && firstAudioMs !== null ? this.player.leadS : null;
    put("first-audio", firstAudioMs === null ? "–" : `${Math.round(firstAudioMs)} ms`);
    put("lead", lead === null ? "–" : `${lead.toFixed(1)} s`);
    put(
      "underruns",
      `${this.underruns}${this.underruns ? ` (${this.underrunS.toFixed(1)} s)` : ""}`,
    );
    put("factor", realTimeFactor === null ? "–" : realTimeFactor.toFixed(2));
  }

  /** @param {number} samples */
  #onAudio(samples) {
    const { reading } = this;
    if (!reading) return;
    const now = performance.now();
    const seconds = samples / reading.tape.rate;
    if (this.cameMs) {
      this.busyMs += now - this.cameMs;
      this.madeS += seconds;
    }
    if (this.silentMs) {
      this.underruns += 1;
      this.underrunS += (now - this.silentMs) / 1000;
      this.silentMs = 0;
    }
    this.textWasLate = false;
    const paced = this.player.leadS > PACED_LEAD_S;
    this.cameMs = paced || this.#waitsForText() ? 0 : now;
  }

  #watchSilence() {
    const { player, reading } = this;
    const due = player.dry && player.playing && !!reading?.firstAudioMs && reading.speaking;
    if (due && this.#waitsForText()) this.textWasLate = true;
    if (!due || player.leadS > 0.05 || this.textWasLate) this.silentMs = 0;
    else this.silentMs ||= performance.now();
  }

  /** Whether the model cannot go on before more is written. */
  #waitsForText() {
    const { reading } = this;
    if (!reading || reading.complete) return false;
    if (!reading.hasMarks) return true;
    const last = reading.marks[reading.marks.length - 1];
    return reading.sent - (last?.endChar ?? 0) < TEXT_AHEAD_CHARS;
  }
}

/** @param {string} id @param {string} text */
function put(id, text) {
  const element = byId(id, HTMLElement);
  if (element.textContent !== text) element.textContent = text;
}
