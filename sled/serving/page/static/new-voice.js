/** The dialog that adds a voice: a recording or a file, its transcript, and consent. */

import { ApiFailure } from "./api.js";
import { byId } from "./dom.js";
import { SampleInput } from "./sample-input.js";

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
    this.error = byId("voice-error", HTMLElement);
    this.submit = byId("voice-add", HTMLButtonElement);
    this.check = byId("consent", HTMLInputElement);
    /** @param {string} text */
    const tell = (text) => this.#tell(text);
    this.voice = new SampleInput("voice", tell);
    this.consent = new SampleInput("consent", tell);
    /** What the server has kept, and its id. @type {{audio: Blob, id: string} | null} */
    this.kept = null;
    byId("voice-new", HTMLButtonElement).addEventListener("click", () => this.#open());
    byId("voice-cancel", HTMLButtonElement).addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      this.voice.stop();
      this.consent.stop();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#add();
    });
    byId("record-note", HTMLElement).hidden = Boolean(navigator.mediaDevices);
  }

  #open() {
    const policy = this.api.consentPolicy;
    this.form.reset();
    this.voice.clear();
    this.consent.clear();
    this.kept = null;
    this.#tell("");
    byId("consent-recording", HTMLElement).hidden = policy !== "recording";
    byId("consent-statement", HTMLElement).hidden = policy !== "attest";
    this.check.required = policy === "attest";
    this.dialog.showModal();
  }

  async #add() {
    if (!this.voice.audio) {
      this.#tell("Record something, or choose a file.");
      return;
    }
    if (this.api.consentPolicy === "recording" && !this.consent.audio) {
      this.#tell("Record the consent of the speaker, or choose a file with it.");
      return;
    }
    const given = new FormData(this.form);
    const name = String(given.get("name")).trim();
    const form = new FormData();
    this.voice.addTo(form, "audio_sample");
    form.set("name", name);
    const transcript = String(given.get("transcript")).trim();
    if (transcript) form.set("ref_text", transcript);
    this.submit.disabled = true;
    this.submit.setAttribute("aria-busy", "true");
    this.#tell("");
    try {
      const consent = await this.#giveConsent(name);
      if (consent) form.set("consent", consent);
      const voice = await this.api.addVoice(form);
      this.dialog.close();
      this.onAdded(voice);
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      this.#tell(error.message);
    } finally {
      this.submit.disabled = false;
      this.submit.removeAttribute("aria-busy");
    }
  }

  /**
   * What the server takes as the consent: a statement, or the id of a recording. "" for nothing.
   *
   * @param {string} name of the voice
   */
  async #giveConsent(name) {
    const { audio } = this.consent;
    if (this.api.consentPolicy === "off") return "";
    if (this.api.consentPolicy === "attest" || !audio) {
      return byId("consent-text", HTMLElement).textContent?.trim() ?? "";
    }
    if (this.kept?.audio !== audio) {
      const form = new FormData();
      this.consent.addTo(form, "recording");
      form.set("name", name);
      form.set("language", document.documentElement.lang);
      this.kept = { audio, id: await this.api.addConsent(form) };
    }
    return this.kept.id;
  }

  /** @param {string} text "" for none */
  #tell(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }
}
