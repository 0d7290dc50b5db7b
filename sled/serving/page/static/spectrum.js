/** Mel spectra of short pieces of audio. */

const BANDS = 64;
const SIZE = 1024;
const LOWEST_HZ = 60;
const HIGHEST_HZ = 10000;
/** Range of the picture, in dB below full scale. */
const FLOOR_DB = -80;
const CEILING_DB = -8;

export class MelSpectrum {
  /** @param {number} rate Hz */
  constructor(rate) {
    this.size = SIZE;
    this.bands = BANDS;
    this.window = Float32Array.from(
      { length: SIZE },
      (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / SIZE),
    );
    this.filters = makeFilters(rate);
    this.real = new Float64Array(SIZE);
    this.imaginary = new Float64Array(SIZE);
    this.power = new Float64Array(SIZE / 2 + 1);
  }

  /**
   * Power in each band, lowest first.
   *
   * @param {Float32Array} samples `size` of them
   * @returns {Float32Array} 0 (silence) to 1
   */
  compute(samples) {
    for (let at = 0; at < SIZE; at += 1) this.real[at] = (samples[at] ?? 0) * this.window[at];
    this.imaginary.fill(0);
    transform(this.real, this.imaginary);
    const scale = (4 / SIZE) ** 2; // a full-scale sine has power 1
    for (let at = 0; at < this.power.length; at += 1) {
      this.power[at] = scale * (this.real[at] ** 2 + this.imaginary[at] ** 2);
    }
    return Float32Array.from(this.filters, ({ first, weights }) => {
      let sum = 0;
      for (let at = 0; at < weights.length; at += 1) sum += weights[at] * this.power[first + at];
      const decibels = 10 * Math.log10(sum + 1e-12);
      return Math.max(0, Math.min(1, (decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
    });
  }
}

/** Triangles that are evenly wide on the mel scale. @param {number} rate */
function makeFilters(rate) {
  const top = Math.min(HIGHEST_HZ, rate / 2);
  const low = toMel(LOWEST_HZ);
  const step = (toMel(top) - low) / (BANDS + 1);
  return Array.from({ length: BANDS }, (_, band) => {
    const [left, middle, right] = [0, 1, 2].map(
      (more) => (toHz(low + (band + more) * step) * SIZE) / rate,
    );
    const first = Math.ceil(left);
    const weights = [];
    for (let at = first; at <= Math.floor(right); at += 1) {
      weights.push(
        Math.max(0, Math.min((at - left) / (middle - left), (right - at) / (right - middle))),
      );
    }
    // A band between two frequencies of the transform takes the nearest one.
    if (!weights.some((weight) => weight > 0)) return { first: Math.round(middle), weights: [1] };
    return { first, weights };
  });
}

/** @param {number} hz */
function toMel(hz) {
  return 2595 * Math.log10(1 + hz / 700);
}

/** @param {number} mel */
function toHz(mel) {
  return 700 * (10 ** (mel / 2595) - 1);
}

/**
 * The discrete Fourier transform, in place; the size is a power of two.
 *
 * @param {Float64Array} real
 * @param {Float64Array} imaginary
 */
export function transform(real, imaginary) {
  const size = real.length;
  for (let at = 1, mirror = 0; at < size; at += 1) {
    let bit = size >> 1;
    for (; mirror & bit; bit >>= 1) mirror ^= bit;
    mirror ^= bit;
    if (at < mirror) {
      [real[at], real[mirror]] = [real[mirror], real[at]];
      [imaginary[at], imaginary[mirror]] = [imaginary[mirror], imaginary[at]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let place = 0; place < half; place += 1) {
      const cosine = Math.cos((Math.PI * place) / half);
      const sine = -Math.sin((Math.PI * place) / half);
      for (let low = place; low < size; low += 2 * half) {
        const high = low + half;
        const x = real[high] * cosine - imaginary[high] * sine;
        const y = real[high] * sine + imaginary[high] * cosine;
        real[high] = real[low] - x;
        imaginary[high] = imaginary[low] - y;
        real[low] += x;
        imaginary[low] += y;
      }
    }
  }
}
