/** Records from the microphone, or from anything that makes sound in the page. */

import { encodeWav } from "./wav.js";

/** Prompts are short; a forgotten recording ends by itself. */
const LONGEST_S = 30;

/** Events: "level" (detail: dB below full scale), "full". */
export class Recorder extends EventTarget {
  constructor() {
    super();
    /** @type {Float32Array[]} */
    this.pieces = [];
    /** @type {AudioContext | null} */
    this.own = null;
    /** @type {MediaStream | null} */
    this.microphone = null;
    /** @type {AudioWorkletNode | null} */
    this.node = null;
    this.rate = 48000;
    /** Whether `stop` was called, perhaps before the microphone was open. */
    this.ended = false;
  }

  get seconds() {
    return this.pieces.reduce((sum, piece) => sum + piece.length, 0) / this.rate;
  }

  /** Record the microphone as it is: what improves calls harms prompts. */
  async openMicrophone() {
    this.microphone = await navigator.mediaDevices.getUserMedia({
      audio: {
        channelCount: 1,
        echoCancellation: false,
        noiseSuppression: false,
        autoGainControl: false,
      },
    });
    if (this.ended) {
      this.#release();
      return;
    }
    this.own = new AudioContext();
    await this.own.resume();
    if (this.ended || !this.own) return;
    await this.listen(this.own.createMediaStreamSource(this.microphone), LONGEST_S);
  }

  /**
   * Record what a node of an audio graph makes.
   *
   * @param {AudioNode} source
   * @param {number} [longestS]
   */
  async listen(source, longestS = Infinity) {
    const { context } = source;
    await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    if (this.ended) {
      this.#release();
      return;
    }
    this.rate = context.sampleRate;
    this.node = new AudioWorkletNode(context, "recorder", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    this.node.port.onmessage = ({ data }) => {
      this.pieces.push(data);
      this.dispatchEvent(new CustomEvent("level", { detail: levelDb(data) }));
      if (this.seconds >= longestS) this.dispatchEvent(new Event("full"));
    };
    source.connect(this.node);
  }

  /** End the recording. @returns {Blob} a WAV file */
  stop() {
    this.ended = true;
    this.#release();
    return encodeWav(this.pieces, this.rate);
  }

  #release() {
    if (this.node) this.node.port.onmessage = null;
    this.node?.disconnect();
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
    if (this.own?.state !== "closed") void this.own?.close();
    this.own = this.node = this.microphone = null;
  }
}

/** @param {Float32Array} samples */
function levelDb(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return 10 * Math.log10(power + 1e-10);
}
