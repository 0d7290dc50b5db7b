/** How to speak: the sliders, the seed, and the voice that is chosen elsewhere. */

import { byId } from "./dom.js";

const MAX_SEED = 2 ** 31 - 1;

/**
 * Fields of a request; those that are left out are as the model recommends.
 *
 * @typedef {object} SpeechSettings
 * @property {string} [voice]
 * @property {number} speed
 * @property {number} seed
 * @property {number} [temperature]
 * @property {number} [cfg]
 */

/** Event "change". */
export class Settings extends EventTarget {
  constructor() {
    super();
    /** @type {string | undefined} */
    this.voice = undefined;
    this.seed = byId("seed", HTMLInputElement);
    this.speed = byId("speed", HTMLInputElement);
    this.speed.addEventListener("input", () => this.#showSpeed());
    this.#showSpeed();
    this.temperature = new OptionalSlider("temperature", () => this.#changed());
    this.guidance = new OptionalSlider("guidance", () => this.#changed());
    this.seed.addEventListener("change", () => {
      this.seed.value = String(this.seedValue());
      this.#changed();
    });
    this.newSeed();
  }

  /** Draw another seed. */
  newSeed() {
    this.seed.value = String(Math.floor(Math.random() * 100000));
    this.#changed();
  }

  seedValue() {
    const value = Math.round(Number(this.seed.value));
    return Number.isFinite(value) ? Math.max(0, Math.min(MAX_SEED, value)) : 0;
  }

  /** @param {string} id */
  chooseVoice(id) {
    this.voice = id;
    this.#changed();
  }

  /** @returns {SpeechSettings} as they are now */
  snapshot() {
    const { temperature, guidance } = this;
    return {
      ...(this.voice !== undefined && { voice: this.voice }),
      speed: Number(this.speed.value),
      seed: this.seedValue(),
      ...(temperature.value !== null && { temperature: temperature.value }),
      ...(guidance.value !== null && { cfg: guidance.value }),
    };
  }

  #showSpeed() {
    const text = `${Number(this.speed.value).toFixed(2)} ×`;
    byId("speed-value", HTMLOutputElement).value = text;
    this.speed.setAttribute("aria-valuetext", text);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A slider whose value is the model's own until it is moved. */
class OptionalSlider {
  /** @param {string} id @param {() => void} onChange */
  constructor(id, onChange) {
    this.slider = byId(id, HTMLInputElement);
    this.output = byId(`${id}-value`, HTMLOutputElement);
    this.reset = byId(`${id}-reset`, HTMLButtonElement);
    /** @type {number | null} */
    this.value = null;
    const show = () => {
      const text = this.value === null ? "model’s own" : this.value.toFixed(2);
      this.output.value = text;
      this.slider.setAttribute("aria-valuetext", text);
      this.slider.classList.toggle("unset", this.value === null);
      this.reset.hidden = this.value === null;
      onChange();
    };
    this.slider.addEventListener("input", () => {
      this.value = Number(this.slider.value);
      show();
    });
    this.reset.addEventListener("click", () => {
      this.value = null;
      this.slider.value = this.slider.defaultValue;
      show();
      this.slider.focus();
    });
    show();
  }
}
