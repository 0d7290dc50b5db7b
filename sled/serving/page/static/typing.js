/** Speaks a text while it is typed. */

import { commonLength, sentenceStart } from "./corrections.js";

/** The text counts as complete when nothing was typed for so long: after a sentence, or within one. */
const PAUSE_AFTER_SENTENCE_MS = 900;
const PAUSE_MS = 2500;

export class Typing {
  /**
   * @param {HTMLTextAreaElement} area
   * @param {HTMLInputElement} toggle whether to speak while typing
   * @param {import("./speaking.js").Speaking} speaking
   * @param {import("./settings.js").Settings} settings
   */
  constructor(area, toggle, speaking, settings) {
    this.area = area;
    this.toggle = toggle;
    this.speaking = speaking;
    this.pause = 0;
    /** @type {import("./reading.js").Reading | null} */
    this.reading = null;
    area.addEventListener("input", (event) => {
      // Input methods compose a word first; it counts when it is there.
      if (!(/** @type {InputEvent} */ (event).isComposing)) this.#onText();
    });
    settings.addEventListener("change", () => {
      if (this.active) this.reading?.use(settings.snapshot());
    });
    area.addEventListener("compositionend", () => this.#onText());
  }

  /** Say what is left of the text now. */
  finish() {
    clearTimeout(this.pause);
    this.reading?.finish();
  }

  /** Whether the text is being spoken as it is typed. */
  get active() {
    return this.reading !== null && this.reading === this.speaking.reading && !this.reading.stopped;
  }

  /** @param {string} text */
  #begin(text) {
    const { reading } = this.speaking;
    if (reading && !reading.stopped && reading.text && text.startsWith(reading.text))
      return reading;
    const fresh = this.speaking.begin();
    // What was said, and stopped, is not said again; its last sentence is, if it goes on.
    const before = this.reading?.text ?? "";
    fresh.skip(text.slice(0, sentenceStart(text, commonLength(before, text))));
    return fresh;
  }

  #onText() {
    clearTimeout(this.pause);
    const text = this.area.value;
    if (!this.toggle.checked || (!this.active && !text.trim())) return;
    if (!this.active) this.reading = this.#begin(text);
    this.reading?.revise(text);
    const patience = /[.!?…:]["'”’)\]]*\s*$/u.test(text) ? PAUSE_AFTER_SENTENCE_MS : PAUSE_MS;
    this.pause = setTimeout(() => this.finish(), patience);
  }
}
