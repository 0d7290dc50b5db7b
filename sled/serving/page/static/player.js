/** Plays a tape while it grows: a ring buffer on the audio thread is kept filled from it. */

import { Resampler } from "./resampler.js";

/** Seconds of the tape that lie in the ring buffer. */
const AHEAD_S = 8;
/** Audio that is this close to being heard cannot be changed without a fade. */
const TOO_LATE_S = 0.05;

/**
 * @typedef {object} PlayerState
 * @property {number} position sample of the tape that is heard
 * @property {boolean} playing whether it is not paused
 * @property {boolean} dry whether nothing is heard because there is nothing
 */

export class Player extends EventTarget {
  constructor() {
    super();
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {AudioWorkletNode | null} */
    this.node = null;
    /** What is heard passes through it. @type {AnalyserNode | null} */
    this.analyser = null;
    /** @type {import("./tape.js").Tape | null} */
    this.tape = null;
    this.playing = true;
    this.dry = true;
    this.complete = false;
    /** Samples of the tape that were played since it was loaded, heard again included. */
    this.playedSamples = 0;
    this.epoch = 0;
    this.base = 0;
    this.fed = 0;
    this.played = 0;
    this.reportedAt = 0;
    /** When what was played last is heard, by the clock of `performance`. */
    this.heardAtMs = 0;
    this.toldComplete = false;
    /** @type {Resampler | null} */
    this.resampler = null;
    /** @type {Promise<void> | null} */
    this.opening = null;
  }

  /** Open the audio device; browsers allow it only after a key or a click. */
  open() {
    this.opening ??= this.#open().catch((error) => {
      this.opening = null;
      void this.context?.close();
      this.context = null;
      throw error;
    });
    if (this.context?.state === "suspended") void this.context.resume();
    return this.opening;
  }

  async #open() {
    const context = new AudioContext({ latencyHint: "interactive" });
    this.context = context;
    void context.resume();
    await context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.analyser = new AnalyserNode(context, { fftSize: 2048 });
    node.connect(this.analyser).connect(context.destination);
    node.port.onmessage = (event) => this.#onReport(event.data);
    this.node = node;
    if (this.tape) this.#start(this.tape);
    node.port.postMessage({ play: this.playing });
  }

  /**
   * Play a tape from its beginning.
   *
   * @param {import("./tape.js").Tape} tape
   */
  load(tape) {
    this.tape = tape;
    this.complete = false;
    this.playedSamples = 0;
    this.#start(tape);
    this.play();
  }

  /** @param {import("./tape.js").Tape} tape */
  #start(tape) {
    if (this.context) this.resampler = new Resampler(tape.rate, this.context.sampleRate);
    this.seek(tape.start);
  }

  /**
   * Go on at another place.
   *
   * @param {number} sample
   */
  seek(sample) {
    if (!this.tape) return;
    this.epoch += 1;
    this.base = Math.max(this.tape.start, Math.min(Math.round(sample), this.tape.length));
    this.fed = this.base;
    this.dry = this.base === this.tape.length;
    this.played = 0;
    this.resampler?.reset();
    this.toldComplete = false;
    this.node?.port.postMessage({ flush: this.epoch });
    this.feed();
  }

  /** Move audio from the tape into the ring buffer. */
  feed() {
    if (!this.tape || !this.node || !this.resampler) return;
    const wanted = Math.round(this.base + this.played + AHEAD_S * this.tape.rate) - this.fed;
    const samples = this.tape.read(this.fed, wanted);
    if (samples.length) {
      this.fed += samples.length;
      this.#write(this.resampler.process(samples));
    }
    if (this.complete && !this.toldComplete && this.fed === this.tape.length) {
      this.toldComplete = true;
      this.#write(this.resampler.flush());
      this.node.port.postMessage({ complete: true });
    }
  }

  /** @param {boolean} complete whether the tape has got all its audio, for now */
  setComplete(complete) {
    this.complete = complete;
    this.toldComplete = false;
    if (!complete) this.node?.port.postMessage({ complete });
    this.feed();
  }

  /** Forget what was fed from a sample of the tape on; the tape is already cut. @param {number} at */
  cut(at) {
    if (!this.tape || at >= this.fed) return;
    if (at < this.position + TOO_LATE_S * this.tape.rate) {
      this.seek(at);
      return;
    }
    const ratio = (this.context?.sampleRate ?? this.tape.rate) / this.tape.rate;
    this.node?.port.postMessage({ cut: Math.round((at - this.base) * ratio), complete: false });
    this.resampler?.reset();
    this.toldComplete = false;
    this.fed = at;
    this.feed();
  }

  /** Be silent at once; what comes later is not played until `seek` or `load`. */
  stop() {
    if (!this.tape) return;
    const at = Math.round(this.position);
    this.tape.truncate(at);
    this.seek(at);
  }

  play() {
    this.#setPlaying(true);
  }

  pause() {
    this.#setPlaying(false);
  }

  /** @param {boolean} playing */
  #setPlaying(playing) {
    this.playing = playing;
    this.node?.port.postMessage({ play: playing });
    this.dispatchEvent(new Event("state"));
  }

  /** The sample of the tape that is heard now; the delay of the device is allowed for. */
  get position() {
    if (!this.tape || !this.context) return 0;
    const sinceS = Math.min(0.1, this.context.currentTime - this.reportedAt);
    const moving = this.playing && !this.dry;
    // Once all is played, what the device still holds is heard in a moment.
    const late = moving || performance.now() < this.heardAtMs ? this.#delayS : 0;
    const now = this.played + ((moving ? sinceS : 0) - late) * this.tape.rate;
    return Math.max(this.base, Math.min(this.base + now, this.fed, this.tape.length));
  }

  /** Seconds of audio that are there and have not been heard. */
  get leadS() {
    return this.tape ? (this.tape.length - this.position) / this.tape.rate : 0;
  }

  /** Whether all audio has been heard. */
  get ended() {
    return this.complete && this.dry && !!this.tape && this.position >= this.tape.length;
  }

  /** Seconds from the audio thread to the ear. */
  get #delayS() {
    return (this.context?.baseLatency ?? 0) + (this.context?.outputLatency ?? 0);
  }

  /** @param {Float32Array<ArrayBuffer>} samples */
  #write(samples) {
    if (samples.length) this.node?.port.postMessage({ write: samples }, [samples.buffer]);
  }

  /** @param {{epoch: number, played: number, buffered: number, dry: boolean}} report */
  #onReport(report) {
    if (report.epoch !== this.epoch || !this.tape || !this.context) return;
    const played = Math.round((report.played * this.tape.rate) / this.context.sampleRate);
    this.playedSamples += Math.max(0, played - this.played);
    this.played = played;
    this.reportedAt = this.context.currentTime;
    if (report.dry && !this.dry) {
      this.heardAtMs = performance.now() + 1000 * this.#delayS;
    }
    this.dry = report.dry;
    this.feed();
    this.dispatchEvent(new Event("state"));
  }
}
