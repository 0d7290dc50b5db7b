/** A recording for an upload: from the microphone, with a level meter, or a file. */

import { byId } from "./dom.js";
import { Recorder } from "./recorder.js";

/** The level meter shows from here to 0 dB. */
const QUIETEST_DB = -60;

export class SampleInput {
  /**
   * @param {string} name its elements are named so, then "-record", "-level" and so on
   * @param {(text: string) => void} tell says what is wrong; "" if nothing is
   */
  constructor(name, tell) {
    this.tell = tell;
    this.record = byId(`${name}-record`, HTMLButtonElement);
    this.file = byId(`${name}-file`, HTMLInputElement);
    this.sample = byId(`${name}-sample`, HTMLAudioElement);
    this.level = byId(`${name}-level`, HTMLMeterElement);
    this.elapsed = byId(`${name}-elapsed`, HTMLElement);
    /** @type {Recorder | null} */
    this.recorder = null;
    /** @type {Blob | null} */
    this.audio = null;
    this.record.addEventListener("click", () => void this.#toggle());
    this.file.addEventListener("change", () => this.#take(this.file.files?.[0] ?? null));
    // Browsers open the microphone to pages from https or the own machine only.
    this.record.disabled = !navigator.mediaDevices;
  }

  clear() {
    this.stop();
    this.file.value = "";
    this.#take(null);
    this.elapsed.textContent = "";
  }

  /** Add the audio to a form. @param {FormData} form @param {string} field */
  addTo(form, field) {
    if (!this.audio) throw new Error("there is no audio");
    form.set(field, this.audio, this.audio instanceof File ? this.audio.name : "recording.wav");
  }

  async #toggle() {
    if (this.recorder) {
      this.stop();
      return;
    }
    this.tell("");
    const recorder = new Recorder();
    this.recorder = recorder;
    this.record.textContent = "Stop recording";
    this.record.classList.add("recording");
    recorder.addEventListener("level", (event) => {
      this.level.value = Math.max(QUIETEST_DB, /** @type {CustomEvent} */ (event).detail);
      const text = `${Math.floor(recorder.seconds)} s`;
      if (this.elapsed.textContent !== text) this.elapsed.textContent = text;
    });
    recorder.addEventListener("full", () => this.stop());
    try {
      await recorder.openMicrophone();
    } catch (error) {
      this.stop();
      const name = error instanceof DOMException ? error.name : String(error);
      const text = name === "NotAllowedError" ? "The browser did not allow it." : name;
      this.tell(`The microphone cannot be used: ${text}`);
    }
  }

  /** End a recording. */
  stop() {
    const { recorder } = this;
    if (!recorder) return;
    this.recorder = null;
    const audio = recorder.stop();
    this.record.textContent = "Record again";
    this.record.classList.remove("recording");
    this.level.value = QUIETEST_DB;
    this.file.value = "";
    if (recorder.seconds > 0) this.#take(audio);
  }

  /** @param {Blob | null} audio */
  #take(audio) {
    if (this.sample.src) URL.revokeObjectURL(this.sample.src);
    this.audio = audio;
    this.sample.hidden = !audio;
    if (audio) this.sample.src = URL.createObjectURL(audio);
    else {
      this.sample.removeAttribute("src");
      this.record.textContent = "Record";
    }
  }
}
