/** Begins readings, follows them with the views, and deals with failures. */

import { byId } from "./dom.js";
import { Reading } from "./reading.js";

/** At least so long passes between two pictures: drawing takes time from the model. */
const FRAME_MS = 50;
const MOST_RETRIES = 20;
const WAIT_MS = 2000;
/** After these the same text may be spoken a moment later. */
const PASSING = new Set([
  "at_capacity",
  "rate_limited",
  "too_many_sessions",
  "starting",
  "draining",
  "engine_failed",
]);
const MESSAGES = /** @type {Record<string, string>} */ ({
  at_capacity: "The server is speaking for as many callers as it can.",
  rate_limited: "The server limits how often this key may ask.",
  too_many_sessions: "This key speaks in as many places as it may.",
  starting: "The model is loading.",
  draining: "The server is shutting down.",
  engine_failed: "Speaking failed.",
});

/** Event "change": another reading, or its state. */
export class Speaking extends EventTarget {
  /**
   * @param {object} parts
   * @param {import("./api.js").Api} parts.api
   * @param {import("./player.js").Player} parts.player
   * @param {import("./settings.js").Settings} parts.settings
   * @param {import("./words.js").Words} parts.words
   * @param {import("./pictures.js").Pictures} parts.pictures
   * @param {import("./figures.js").Figures} parts.figures
   * @param {import("./notices.js").Notices} parts.notices
   */
  constructor(parts) {
    super();
    this.parts = parts;
    /** @type {Reading | null} */
    this.reading = null;
    this.retries = 0;
    this.shownEnd = 0;
    this.announced = "";
    parts.player.addEventListener("state", () => this.#tell());
    const frame = () => {
      this.#draw();
      setTimeout(() => requestAnimationFrame(frame), FRAME_MS);
    };
    requestAnimationFrame(frame);
  }

  /**
   * Begin a reading; the one before it ends.
   *
   * @param {Partial<import("./settings.js").SpeechSettings>} [changes] to the settings of the page
   */
  begin(changes = {}) {
    const { api, player, settings, words, pictures, figures, notices } = this.parts;
    this.reading?.discard();
    notices.hide();
    player.open().catch(() => {
      notices.say(
        isSecureContext
          ? "The browser cannot play audio: load the page again."
          : "Browsers play the sound of this page only from https, or from this machine.",
      );
    });
    const reading = new Reading(api, player, { ...settings.snapshot(), ...changes });
    this.reading = reading;
    this.retries = 0;
    this.shownEnd = 0;
    words.clear();
    pictures.begin(reading.tape);
    figures.begin(reading);
    byId("heard", HTMLElement).hidden = true;
    reading.addEventListener("change", () => this.#onChange(reading));
    reading.addEventListener("audio", () => {
      this.retries = 0;
    });
    reading.addEventListener("failed", (event) => {
      if (reading === this.reading) this.#onFailed(/** @type {CustomEvent} */ (event).detail);
    });
    reading.addEventListener("stopped", (event) => {
      if (reading === this.reading) this.#onStopped(/** @type {CustomEvent} */ (event).detail);
    });
    this.#tell();
    return reading;
  }

  /** Speak a whole text. @param {string} text @param {Partial<import("./settings.js").SpeechSettings>} [changes] */
  speak(text, changes) {
    const reading = this.begin(changes);
    reading.write(text);
    reading.finish();
    return reading;
  }

  /** Be silent at once. */
  stop() {
    this.parts.notices.hide();
    if (this.busy) this.reading?.stop();
  }

  /** Whether there is something to stop. */
  get busy() {
    return !!this.reading && (this.reading.speaking || !this.parts.player.ended);
  }

  /** Hear from a sample on. @param {number} sample */
  hearFrom(sample) {
    const { player, notices } = this.parts;
    if (!this.reading) return;
    if (sample < this.reading.tape.start) {
      notices.say("That was too long ago: only the last 20 minutes are kept.");
      return;
    }
    player.seek(sample);
    player.play();
  }

  togglePause() {
    const { player } = this.parts;
    if (!this.reading?.tape.length) return;
    if (player.ended) player.seek(this.reading.tape.start);
    else if (player.playing) {
      player.pause();
      return;
    }
    player.play();
  }

  /** @param {Reading} reading */
  #onChange(reading) {
    if (reading !== this.reading) return;
    const { words, pictures } = this.parts;
    if (pictures.tape !== reading.tape) pictures.begin(reading.tape);
    if (reading.tape.length < this.shownEnd) pictures.forget(reading.tape.length);
    words.update(reading.text, reading.marks);
    this.#tell();
  }

  #draw() {
    const { player, words, pictures, figures } = this.parts;
    const { reading } = this;
    if (!reading) {
      pictures.draw(0, true);
      return;
    }
    this.shownEnd = reading.tape.length;
    const { position } = player;
    words.light(reading.tape.length ? position : -1, player.ended && !reading.speaking);
    pictures.draw(position, player.complete);
    figures.show();
  }

  /** @param {string} heard */
  #onStopped(heard) {
    const { words, notices } = this.parts;
    words.strikeBehind(heard.length);
    byId("heard", HTMLElement).hidden = !heard;
    byId("heard-text", HTMLElement).textContent = heard;
    notices.say("Stopped.");
    this.#tell();
  }

  /** @param {import("./api.js").ApiFailure} failure */
  #onFailed(failure) {
    const { notices, player } = this.parts;
    const { reading } = this;
    const resume = () => reading === this.reading && reading?.resume();
    const giveUp = () => this.stop();
    if (PASSING.has(failure.code) && this.retries < MOST_RETRIES) {
      this.retries += 1;
      const waitMs = Math.max(500, failure.retryAfterMs ?? WAIT_MS);
      notices.countDown(MESSAGES[failure.code], waitMs, resume, giveUp);
    } else if (failure.code === "lost" || failure.code === "unreachable") {
      const text = "The connection to the server was lost. What has come is still played.";
      const actions = [
        { label: "Go on", run: resume },
        { label: "Give up", run: giveUp },
      ];
      notices.show(text, actions);
    } else {
      reading?.abandon();
      player.setComplete(true);
      notices.show(failure.message, [{ label: "Close", run: () => {} }]);
    }
    this.#tell();
  }

  #tell() {
    const { player, notices } = this.parts;
    const { reading } = this;
    let state = "idle";
    if (reading && !player.playing) state = "paused";
    else if (this.busy) state = player.dry ? "waiting" : "speaking";
    if (state === this.announced) return;
    if (state === "idle" && this.announced && !reading?.stopped) notices.say("Finished.");
    if (state === "speaking") notices.say("Speaking.");
    if (state === "paused") notices.say("Paused.");
    this.announced = state;
    this.dispatchEvent(new CustomEvent("change", { detail: state }));
  }
}
