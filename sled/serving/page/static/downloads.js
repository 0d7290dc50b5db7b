/** What can be taken along: audio files, subtitles, and the request as code. */

import { ApiFailure } from "./api.js";
import { byId, make, makeTabs } from "./dom.js";
import * as snippets from "./snippets.js";
import { makeCues, toSrt, toVtt } from "./subtitles.js";

const EXAMPLE = "Speech starts while the text is still being written.";

export class Downloads {
  /**
   * @param {object} parts
   * @param {import("./api.js").Api} parts.api
   * @param {import("./settings.js").Settings} parts.settings
   * @param {() => import("./reading.js").Reading | null} parts.reading the one that is shown
   * @param {() => string} parts.text what would be spoken
   * @param {(message: string) => void} parts.say tells how it goes
   */
  constructor({ api, settings, reading, text, say }) {
    this.api = api;
    this.settings = settings;
    this.reading = reading;
    this.text = text;
    this.say = say;
    this.language = "curl";
    this.audio = ["wav", "mp3", "opus"].map((format) => {
      const button = byId(`download-${format}`, HTMLButtonElement);
      button.addEventListener("click", () => void this.#saveAudio(format, button));
      return button;
    });
    this.subtitles = ["srt", "vtt"].map((format) => {
      const button = byId(`download-${format}`, HTMLButtonElement);
      button.addEventListener("click", () => this.#saveSubtitles(format));
      return button;
    });
    makeTabs(byId("languages", HTMLElement), (tab) => {
      this.language = tab.dataset.language ?? "curl";
      this.showCode();
    });
    byId("copy", HTMLButtonElement).addEventListener("click", () => void this.#copy());
    settings.addEventListener("change", () => this.showCode());
    this.update();
    this.showCode();
  }

  /** Enable what there is. */
  update() {
    const reading = this.reading();
    for (const button of this.audio) button.disabled = !reading?.text.trim();
    for (const button of this.subtitles) button.disabled = !reading?.marks.length;
    const missing = !!reading?.tape.length && !reading.hasMarks;
    byId("no-marks", HTMLElement).hidden = !missing;
  }

  showCode() {
    const body = {
      input: this.text().trim() || EXAMPLE,
      ...this.settings.snapshot(),
      response_format: "mp3",
    };
    const call = { base: this.api.base, body, needsKey: this.api.needsKey };
    const { curl, python, javascript } = snippets;
    const write = /** @type {Record<string, typeof curl>} */ ({ curl, python, javascript });
    byId("code", HTMLElement).textContent = write[this.language](call);
  }

  /** @param {string} format @param {HTMLButtonElement} button */
  async #saveAudio(format, button) {
    const reading = this.reading();
    if (!reading) return;
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
    this.say(`Making ${format} …`);
    try {
      // A WAV file tells its length at the beginning, so all of it has to be made first.
      const stream = format !== "wav";
      const body = { input: reading.text, ...reading.request, response_format: format, stream };
      save(await this.api.speech(body), `speech.${format}`);
      this.say(`speech.${format} is saved.`);
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      this.say(`No ${format}: ${error.message}`);
    } finally {
      button.removeAttribute("aria-busy");
      button.disabled = false;
    }
  }

  /** @param {string} format */
  #saveSubtitles(format) {
    const reading = this.reading();
    if (!reading) return;
    const cues = makeCues(reading.text, reading.marks, reading.tape.rate);
    const text = format === "srt" ? toSrt(cues) : toVtt(cues);
    save(new Blob([text], { type: "text/plain;charset=utf-8" }), `speech.${format}`);
    this.say(`speech.${format} is saved.`);
  }

  async #copy() {
    const code = byId("code", HTMLElement);
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      this.say("Copied.");
    } catch {
      // Without https a page may not write to the clipboard.
      getSelection()?.selectAllChildren(code);
      this.say("Selected: copy it with the keyboard.");
    }
  }
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
