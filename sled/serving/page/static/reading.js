/**
 * One reading: a text, which may still be written, its audio, and when each word is said.
 *
 * The text is spoken as one utterance or several. What was sent cannot be taken back: when earlier
 * text is changed, what was made of it is dropped, and a new connection speaks from there on.
 */

import { commonLength, keepUntil } from "./corrections.js";
import { heardText, placeMarks } from "./marks.js";
import { SpeechStream } from "./socket.js";
import { Tape } from "./tape.js";

/** The rate of the published models; the server tells the true one. */
const RATE = 24000;
/** After a correction, the rest is spoken when nothing was changed for so long. */
const CORRECTION_MS = 350;

/**
 * An utterance of the reading.
 *
 * @typedef {object} Part
 * @property {SpeechStream} stream
 * @property {number} number of the utterance on its connection
 * @property {number} startChar
 * @property {number} start sample of the tape; -1 before its first audio
 * @property {boolean} ended
 */

/** Events: "change" (text, marks, end), "audio", "failed" (detail: ApiFailure), "stopped". */
export class Reading extends EventTarget {
  /**
   * @param {import("./api.js").Api} api
   * @param {import("./player.js").Player} player
   * @param {import("./settings.js").SpeechSettings} request
   */
  constructor(api, player, request) {
    super();
    this.api = api;
    this.player = player;
    /** How it is spoken; downloads ask for the same. */
    this.request = request;
    this.requestChanged = false;
    this.tape = new Tape(RATE);
    /** All text that is to be spoken. */
    this.text = "";
    /** Characters of it that were sent. */
    this.sent = 0;
    /** Whether the text is complete, for now. */
    this.complete = false;
    /** @type {import("./marks.js").Mark[]} */
    this.marks = [];
    /** @type {Part[]} */
    this.parts = [];
    /** @type {SpeechStream | null} */
    this.stream = null;
    this.stopped = false;
    this.stoppedAt = 0; // sample of the tape
    this.failed = false; // is the connection: nothing is sent until it is resumed
    /** Samples that have come from the server, dropped ones included. */
    this.received = 0;
    this.firstTextMs = 0;
    this.firstAudioMs = 0;
    this.correction = 0;
    player.load(this.tape);
  }

  /** Whether the model tells when it says which word; supposed before the first audio. */
  get hasMarks() {
    return this.api.marks === "word";
  }

  /** Whether speech is still to come. */
  get speaking() {
    return !this.stopped && (!!this.correction || this.parts.some((part) => !part.ended));
  }

  /** Speak what follows otherwise. @param {import("./settings.js").SpeechSettings} request */
  use(request) {
    this.request = request;
    this.requestChanged = true;
  }

  /** Do not speak the beginning of the text. @param {string} text */
  skip(text) {
    this.text = text;
    this.sent = text.length;
  }

  /** @param {string} text the next piece */
  write(text) {
    if (this.stopped || !text) return;
    this.text += text;
    this.complete = false;
    if (!this.correction) this.#send();
    this.#changed();
  }

  /** The text is complete; more text begins another utterance. */
  finish() {
    if (this.stopped) return;
    this.complete = true;
    if (this.correction) this.#resend();
    else this.stream?.finish();
    this.#changed();
  }

  /** @param {string} text all of it, as it is now */
  revise(text) {
    if (this.stopped || text === this.text) return;
    const same = commonLength(this.text, text);
    const outdated = same < this.sent;
    if (outdated) this.#drop(this.#keepUntil(same, text));
    this.text = text;
    this.complete = false;
    if (outdated || this.correction) this.#wait();
    else this.#send();
    this.#changed();
  }

  /** Speak on after a failure, from the last word that was made whole. */
  resume() {
    this.failed = false;
    this.#drop(this.#keepUntil(this.sent, this.text));
    this.#resend();
  }

  /** Be silent at once, and tell the server. */
  stop() {
    if (this.stopped) {
      this.player.seek(this.tape.length);
      return;
    }
    const position = this.player.position;
    this.player.stop();
    clearTimeout(this.correction);
    this.correction = 0;
    this.stopped = true;
    this.stoppedAt = position;
    this.stream?.cancel(this.#playedMs(position));
    this.player.setComplete(true);
    this.#changed();
    this.dispatchEvent(
      new CustomEvent("stopped", { detail: heardText(this.text, this.marks, position) }),
    );
  }

  /** Speak no more of the text, which the server refuses; what there is can be heard. */
  abandon() {
    clearTimeout(this.correction);
    this.correction = 0;
    for (const part of this.parts) part.ended = true;
    this.stream?.close();
    this.stream = null;
    this.failed = false;
    this.#changed();
  }

  /** End without a word, as another reading begins. */
  discard() {
    this.abandon();
    this.stopped = true;
  }

  /** @param {number} same @param {string} text the new text, which is the same up to there */
  #keepUntil(same, text) {
    const heard = this.player.position;
    return keepUntil(
      { text: this.text, marks: this.marks, length: this.tape.length },
      same,
      text,
      heard,
    );
  }

  #send() {
    if (this.failed) return;
    const waiting = this.text.slice(this.sent);
    // An utterance needs something to say: spaces wait for a word.
    if (!this.stream?.open && !waiting.trim()) return;
    if (this.requestChanged && this.parts.every((part) => part.ended)) {
      this.stream?.close();
      this.requestChanged = false;
    }
    if (!this.stream?.usable) this.stream = this.#connect();
    if (!this.stream.open) {
      this.player.setComplete(false);
      const { stream } = this;
      const number = stream.nextUtterance;
      this.parts.push({ stream, number, startChar: this.sent, start: -1, ended: false });
    }
    this.firstTextMs ||= performance.now();
    this.stream.write(waiting);
    this.sent = this.text.length;
  }

  #wait() {
    clearTimeout(this.correction);
    this.correction = setTimeout(() => this.#resend(), CORRECTION_MS);
  }

  #resend() {
    clearTimeout(this.correction);
    this.correction = 0;
    this.#send();
    if (this.complete) this.stream?.finish();
    if (!this.speaking) this.player.setComplete(true);
    this.#changed();
  }

  /** Forget what is not kept. @param {{char: number, sample: number}} kept */
  #drop({ char, sample }) {
    this.stream?.cancel(this.#playedMs(this.player.position));
    this.stream = null;
    this.sent = char;
    this.marks = this.marks.filter((mark) => mark.endChar <= char);
    this.parts = this.parts.filter((part) => part.startChar < char);
    for (const part of this.parts) part.ended = true;
    this.tape.truncate(sample);
    this.player.cut(this.tape.length);
  }

  /** How much of the utterance that is being made was heard. @param {number} position */
  #playedMs(position) {
    const part = this.parts.find((one) => !one.ended);
    if (!part || part.start < 0) return 0;
    return (1000 * Math.max(0, position - part.start)) / this.tape.rate;
  }

  #connect() {
    const config = { ...this.request, response_format: "pcm", marks: this.api.marks };
    const /** @type {SpeechStream} */ stream = new SpeechStream(this.api, config, {
        created: ({ sample_rate: rate }) => {
          if (rate !== this.tape.rate && !this.tape.length) {
            this.tape = new Tape(rate);
            this.player.load(this.tape);
          }
        },
        audio: (number, samples) => this.#onAudio(this.#part(stream, number), samples),
        marks: (number, marks) => this.#onMarks(this.#part(stream, number), marks),
        end: (number, end) => this.#onEnd(this.#part(stream, number), end),
        failed: (failure) => {
          this.stream = null;
          if (failure.code === "marks_unsupported") {
            this.api.marks = "none";
            this.resume();
            return;
          }
          this.failed = true;
          this.dispatchEvent(new CustomEvent("failed", { detail: failure }));
          this.#changed();
        },
        closed: () => {
          this.stream = null;
        },
      });
    return stream;
  }

  /** @param {SpeechStream} stream @param {number} number */
  #part(stream, number) {
    return this.parts.find((part) => part.stream === stream && part.number === number);
  }

  /** @param {Part | undefined} part @param {Int16Array<ArrayBuffer>} samples */
  #onAudio(part, samples) {
    if (!part || this.stopped) return;
    if (part.start < 0) part.start = this.tape.length;
    this.firstAudioMs ||= performance.now();
    this.received += samples.length;
    this.tape.append(samples);
    this.player.feed();
    this.dispatchEvent(new CustomEvent("audio", { detail: samples.length }));
  }

  /** @param {Part | undefined} part @param {import("./socket.js").WireMark[]} marks */
  #onMarks(part, marks) {
    if (!part || this.stopped) return;
    this.marks.push(...placeMarks(marks, part, this.tape.rate));
    this.#changed();
  }

  /** @param {Part | undefined} part @param {{cancelled: boolean, heard_text?: string}} end */
  #onEnd(part, end) {
    if (!part) return;
    part.ended = true;
    if (this.stopped) {
      const unheard = part.start < 0 || this.stoppedAt < part.start; // what came before counts
      if (end.heard_text === undefined || unheard) return;
      const heard = this.text.slice(0, part.startChar) + end.heard_text;
      this.dispatchEvent(new CustomEvent("stopped", { detail: heard }));
      return;
    }
    if (!this.speaking) this.player.setComplete(true);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
