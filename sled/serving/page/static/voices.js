/** The list of voices: choose one, hear it, remove one that was added. */

import { ApiFailure } from "./api.js";
import { byId, make } from "./dom.js";

export class Voices {
  /**
   * @param {object} parts
   * @param {import("./api.js").Api} parts.api
   * @param {import("./settings.js").Settings} parts.settings
   * @param {(voice: string) => void} parts.preview says something with a voice
   * @param {import("./notices.js").Notices} parts.notices
   */
  constructor({ api, settings, preview, notices }) {
    this.api = api;
    this.settings = settings;
    this.preview = preview;
    this.notices = notices;
    this.box = byId("voices", HTMLElement);
  }

  /** Ask the server which voices there are. @param {string} [chosen] */
  async load(chosen = this.settings.voice) {
    const voices = await this.api.voices();
    const known = voices.some((voice) => voice.id === chosen);
    const selected = known ? chosen : voices[0]?.id;
    this.box.replaceChildren(...voices.map((voice) => this.#row(voice, voice.id === selected)));
    if (selected !== undefined) this.settings.chooseVoice(selected);
  }

  /** @param {import("./api.js").Voice} voice @param {boolean} checked */
  #row(voice, checked) {
    const radio = make("input", { type: "radio", name: "voice", value: voice.id, checked });
    radio.addEventListener("change", () => this.settings.chooseVoice(voice.id));
    const note = voice.kind === "uploaded" ? make("small", { textContent: "added" }) : "";
    const label = make("label", {}, radio, make("span", { textContent: voice.name }), note);
    const hear = make("button", { type: "button", className: "quiet", textContent: "Hear" });
    hear.setAttribute("aria-label", `Hear the voice ${voice.name}`);
    hear.addEventListener("click", () => this.preview(voice.id));
    const row = make("div", { className: "voice" }, label, hear);
    if (voice.kind === "uploaded") {
      const remove = make("button", { type: "button", className: "quiet", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove the voice ${voice.name}`);
      remove.addEventListener("click", () => this.#askToRemove(voice));
      row.append(remove);
    }
    return row;
  }

  /** @param {import("./api.js").Voice} voice */
  #askToRemove(voice) {
    const remove = async () => {
      try {
        await this.api.removeVoice(voice.id);
        this.notices.say(`The voice ${voice.name} is removed.`);
        await this.load();
      } catch (error) {
        if (!(error instanceof ApiFailure)) throw error;
        this.notices.show(error.message, [{ label: "Close", run: () => {} }]);
      }
    };
    this.notices.show(`Remove the voice ${voice.name} from the server?`, [
      { label: "Remove", run: () => void remove() },
      { label: "Keep", run: () => {} },
    ]);
  }
}
