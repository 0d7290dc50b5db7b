/**
 * Plays samples from a ring buffer, on the audio thread.
 *
 * Messages in: {write: samples}, {flush: epoch}, {cut: place}, {play: boolean}, {complete: boolean}.
 * Messages out, every 20 ms: {epoch, played, buffered, dry}; `played` counts from the last flush.
 */

const CAPACITY_S = 30;
/** Silence begins and ends within this, so that it makes no click. */
const FADE_S = 0.005;
/** So much has to be there before it is played, or so much time has to pass. */
const START_S = 0.08;
const PATIENCE_S = 0.25;
const REPORT_S = 0.02;

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(Math.ceil(CAPACITY_S * sampleRate));
    this.epoch = 0;
    this.read = 0;
    this.end = 0;
    this.playing = true;
    this.complete = false;
    this.started = false;
    this.waited = 0;
    this.gain = 1;
    this.last = 0;
    this.sinceReport = 0;
    /** What is faded out after a flush. */
    this.tail = new Float32Array(0);
    this.tailAt = 0;
    this.port.onmessage = (event) => this.take(event.data);
  }

  /** @param {Record<string, any>} message */
  take(message) {
    if ("write" in message) this.write(message.write);
    if ("flush" in message) this.flush(message.flush);
    if ("cut" in message) this.end = Math.max(this.read, Math.min(this.end, message.cut));
    if ("play" in message) this.playing = message.play;
    if ("complete" in message) this.complete = message.complete;
  }

  /** @param {Float32Array} samples */
  write(samples) {
    const place = this.end % this.ring.length;
    const head = samples.subarray(0, this.ring.length - place);
    this.ring.set(head, place);
    this.ring.set(samples.subarray(head.length), 0);
    this.end += samples.length;
    this.waited = 0;
  }

  /** @param {number} epoch */
  flush(epoch) {
    const size = Math.round(FADE_S * sampleRate);
    this.tail = new Float32Array(this.audible() ? size : 0);
    for (let index = 0; index < this.tail.length && this.read + index < this.end; index += 1) {
      const sample = this.ring[(this.read + index) % this.ring.length];
      this.tail[index] = sample * this.gain * (1 - index / size);
    }
    this.tailAt = 0;
    this.epoch = epoch;
    this.read = this.end = this.last = this.waited = 0;
    this.started = this.complete = false;
    this.report();
  }

  audible() {
    return this.started && this.gain > 0 && this.end > this.read;
  }

  /** Whether to begin, or to go on after the buffer was empty. */
  mayStart() {
    const buffered = (this.end - this.read) / sampleRate;
    if (!buffered) return false;
    return this.complete || buffered >= START_S || this.waited / sampleRate >= PATIENCE_S;
  }

  /** @param {Float32Array[][]} inputs @param {Float32Array[][]} outputs */
  process(inputs, outputs) {
    const output = outputs[0][0];
    const fade = 1 / (FADE_S * sampleRate);
    if (this.playing && !this.started && this.mayStart()) this.started = true;
    for (let index = 0; index < output.length; index += 1) {
      if (this.started && (this.playing || this.gain > 0) && this.read < this.end) {
        this.gain = Math.max(0, Math.min(1, this.gain + (this.playing ? fade : -fade)));
        this.last = this.ring[this.read % this.ring.length] * this.gain;
        this.read += 1;
      } else {
        this.last *= 0.97;
        if (this.started && this.read === this.end) {
          this.started = false;
          this.gain = 0;
        }
      }
      output[index] = this.last;
      if (this.tailAt < this.tail.length) output[index] += this.tail[this.tailAt++];
    }
    for (const copy of outputs[0].slice(1)) copy.set(output);
    if (!this.started) this.waited += output.length;
    this.sinceReport += output.length;
    if (this.sinceReport >= REPORT_S * sampleRate) this.report();
    return true;
  }

  report() {
    this.sinceReport = 0;
    this.port.postMessage({
      epoch: this.epoch,
      played: this.read,
      buffered: this.end - this.read,
      dry: !this.started,
    });
  }
}

registerProcessor("player", Player);
