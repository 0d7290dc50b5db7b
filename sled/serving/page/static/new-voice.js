/** The dialog that adds a voice: a recording or a file, its transcript, and consent. */

import { ApiFailure } from "./api.js";
import { byId } from "./dom.js";
import { Recorder } from "./recorder.js";

/** The level meter shows from here to 0 dB. */
const QUIETEST_DB = -60;

export class NewVoice {
  /**
   * @param {import("./api.js").Api} api
   * @param {(voice: import("./api.js").Voice) => void} onAdded
   */
  constructor(api, onAdded) {
    this.api = api;
    this.onAdded = onAdded;
    this.dialog = byId("voice-dialog", HTMLDialogElement);
    this.form = byId("voice-form", HTMLFormElement);
    this.record = byId("record", HTMLButtonElement);
    this.file = byId("voice-file", HTMLInputElement);
    this.sample = byId("sample", HTMLAudioElement);
    this.level = byId("level", HTMLMeterElement);
    this.elapsed = byId("elapsed", HTMLElement);
    this.error = byId("voice-error", HTMLElement);
    this.submit = byId("voice-add", HTMLButtonElement);
    /** @type {Recorder | null} */
    this.recorder = null;
    /** @type {Blob | null} */
    this.audio = null;
    byId("voice-new", HTMLButtonElement).addEventListener("click", () => this.#open());
    byId("voice-cancel", HTMLButtonElement).addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#stopRecording());
    this.record.addEventListener("click", () => void this.#toggleRecording());
    this.file.addEventListener("change", () => this.#take(this.file.files?.[0] ?? null));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#add();
    });
    // Browsers open the microphone to pages from https or the own machine only.
    if (!navigator.mediaDevices) {
      this.record.disabled = true;
      byId("record-note", HTMLElement).hidden = false;
    }
  }

  #open() {
    this.form.reset();
    this.#take(null);
    this.#fail("");
    this.elapsed.textContent = "";
    this.dialog.showModal();
  }

  async #toggleRecording() {
    if (this.recorder) {
      this.#stopRecording();
      return;
    }
    this.#fail("");
    const recorder = new Recorder();
    this.recorder = recorder;
    this.record.textContent = "Stop recording";
    this.record.classList.add("recording");
    recorder.addEventListener("level", (event) => {
      this.level.value = Math.max(QUIETEST_DB, /** @type {CustomEvent} */ (event).detail);
      const text = `${Math.floor(recorder.seconds)} s`;
      if (this.elapsed.textContent !== text) this.elapsed.textContent = text;
    });
    recorder.addEventListener("full", () => this.#stopRecording());
    try {
      await recorder.openMicrophone();
    } catch (error) {
      this.#stopRecording();
      const name = error instanceof DOMException ? error.name : String(error);
      const text = name === "NotAllowedError" ? "The browser did not allow it." : name;
      this.#fail(`The microphone cannot be used: ${text}`);
    }
  }

  #stopRecording() {
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

  async #add() {
    if (!this.audio) {
      this.#fail("Record something, or choose a file.");
      return;
    }
    const given = new FormData(this.form);
    const form = new FormData();
    const name = this.audio instanceof File ? this.audio.name : "recording.wav";
    form.set("audio_sample", this.audio, name);
    form.set("name", String(given.get("name")).trim());
    const transcript = String(given.get("transcript")).trim();
    if (transcript) form.set("ref_text", transcript);
    form.set("consent", byId("consent-text", HTMLElement).textContent?.trim() ?? "");
    this.submit.disabled = true;
    this.submit.setAttribute("aria-busy", "true");
    this.#fail("");
    try {
      const voice = await this.api.addVoice(form);
      this.dialog.close();
      this.onAdded(voice);
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      this.#fail(error.message);
    } finally {
      this.submit.disabled = false;
      this.submit.removeAttribute("aria-busy");
    }
  }

  /** @param {string} text "" for none */
  #fail(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }
}
