/**
 * Changes the sample rate of a stream, whatever pieces it comes in.
 *
 * Polyphase interpolation with a windowed sinc: the stream of L / M times the rate is computed at
 * its own instants only. The window is Kaiser's with more than 80 dB of attenuation.
 */

/** Zero crossings of the sinc on each side. */
const CROSSINGS = 24;
const BETA = 8.5;
/** The passband ends at this share of the lower Nyquist frequency. */
const ROLLOFF = 0.94;

export class Resampler {
  /**
   * @param {number} from Hz
   * @param {number} to Hz
   */
  constructor(from, to) {
    const divisor = greatestDivisor(from, to);
    this.up = to / divisor;
    this.down = from / divisor;
    const cutoff = ROLLOFF * Math.min(1, to / from);
    /** Input samples on each side of an instant that count. */
    this.half = Math.ceil(CROSSINGS / cutoff);
    this.filters = makeFilters(this.up, this.half, cutoff);
    this.held = new Float32Array(2 * this.half);
    /** Input sample that held[0] is; those before 0 are silence. */
    this.first = -2 * this.half;
    /** The next instant: an input sample, and a phase behind it. */
    this.place = 0;
    this.phase = 0;
  }

  /** Begin a new stream. */
  reset() {
    this.held = new Float32Array(2 * this.half);
    this.first = -2 * this.half;
    this.place = this.phase = 0;
  }

  /**
   * The next piece, as far as it does not depend on what follows.
   *
   * @param {Float32Array} samples
   * @returns {Float32Array<ArrayBuffer>}
   */
  process(samples) {
    const all = new Float32Array(this.held.length + samples.length);
    all.set(this.held);
    all.set(samples, this.held.length);
    const end = this.first + all.length;
    const output = this.#compute(all, end - this.half, end);
    const keep = Math.max(0, this.place - this.half + 1 - this.first);
    this.held = all.slice(Math.min(keep, all.length));
    this.first += Math.min(keep, all.length);
    return output;
  }

  /**
   * The rest, as if silence followed; the stream may go on afterwards.
   *
   * @returns {Float32Array<ArrayBuffer>}
   */
  flush() {
    const end = this.first + this.held.length;
    return this.#compute(this.held, end, end);
  }

  /**
   * @param {Float32Array} all from sample `first` on
   * @param {number} limit instants before it are computed
   * @param {number} end samples from it on are silence
   */
  #compute(all, limit, end) {
    const size = Math.max(0, Math.ceil(((limit - this.place) * this.up - this.phase) / this.down));
    const output = new Float32Array(size);
    const taps = 2 * this.half;
    for (let index = 0; index < size; index += 1) {
      const filter = this.filters[this.phase];
      const begin = this.place - this.half + 1;
      const known = Math.min(taps, end - begin);
      let sum = 0;
      for (let tap = 0, at = begin - this.first; tap < known; tap += 1, at += 1) {
        sum += filter[tap] * all[at];
      }
      output[index] = sum;
      this.phase += this.down;
      this.place += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    return output;
  }
}

/**
 * Of each phase, the weights of the samples around an instant.
 *
 * @param {number} phases
 * @param {number} half
 * @param {number} cutoff share of the input's Nyquist frequency
 */
function makeFilters(phases, half, cutoff) {
  return Array.from({ length: phases }, (_, phase) => {
    const filter = new Float32Array(2 * half);
    let sum = 0;
    for (let tap = 0; tap < 2 * half; tap += 1) {
      const distance = tap - half + 1 - phase / phases;
      filter[tap] = cutoff * sinc(cutoff * distance) * kaiser(distance / half);
      sum += filter[tap];
    }
    return filter.map((weight) => weight / sum);
  });
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {number} x within -1..1 */
function kaiser(x) {
  return Math.abs(x) > 1 ? 0 : bessel(BETA * Math.sqrt(1 - x * x)) / bessel(BETA);
}

/** The modified Bessel function of order 0, by its series. @param {number} x */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-12 * sum; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** @param {number} a @param {number} b @returns {number} */
function greatestDivisor(a, b) {
  return b ? greatestDivisor(b, a % b) : a;
}
