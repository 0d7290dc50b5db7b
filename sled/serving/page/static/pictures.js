/** Draws what is heard: the waveform, and below it the mel spectrogram. */

import { reducedMotion } from "./dom.js";
import { MelSpectrum } from "./spectrum.js";

/** Seconds that are seen. */
const WINDOW_S = 8;
/** The picture moves when playback has come to this share of it. */
const PLAYHEAD = 0.6;
const COLUMNS_PER_S = 100;
/** Columns that are kept; more than are seen. */
const KEPT = 1024;
/** Columns are computed in this portion, so that drawing stays quick. */
const PER_DRAW = 120;
const WAVE_SHARE = 0.36;
/** Height of the strip with the waveform, in pixels of its own. */
const WAVE_PX = 96;
/** Opacity of what is not heard yet. */
const PALE = 0.4;
const SCALE_PX = 18;
/** Above 1, soft sounds are paler. */
const CONTRAST = 1.8;

const darkness = matchMedia("(prefers-color-scheme: dark)");

export class Pictures {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.size = { width: 0, height: 0 };
    this.dirty = true;
    /** @type {import("./tape.js").Tape | null} */
    this.tape = null;
    this.shownAt = "";
    this.mel = new MelSpectrum(24000);
    // A column of the tape is painted once, on strips that are copied to the picture.
    this.melStrip = makeStrip(this.mel.bands);
    this.waveStrip = makeStrip(WAVE_PX);
    /** Which column of the tape is kept at each place; -1: none. */
    this.numbers = new Int32Array(KEPT).fill(-1);
    this.colours = readColours();
    darkness.addEventListener("change", () => {
      this.colours = readColours();
      this.begin(this.tape);
    });
    new ResizeObserver(([{ contentRect }]) => {
      this.size = contentRect; // to read it when drawing would have the page laid out
      this.dirty = true;
    }).observe(canvas);
  }

  /** @param {import("./tape.js").Tape | null} tape */
  begin(tape) {
    this.tape = tape;
    this.mel = new MelSpectrum(tape?.rate ?? 24000);
    this.numbers.fill(-1);
    this.dirty = true;
  }

  /** Compute the columns from a sample on again. @param {number} sample */
  forget(sample) {
    const from = Math.floor((sample * COLUMNS_PER_S) / (this.tape?.rate ?? 1)) - 10;
    for (let at = 0; at < KEPT; at += 1) if (this.numbers[at] >= from) this.numbers[at] = -1;
    this.dirty = true;
  }

  /**
   * @param {number} position sample that is heard
   * @param {boolean} complete whether no more audio follows
   */
  draw(position, complete) {
    const { canvas, tape } = this;
    const ratio = devicePixelRatio || 1;
    const width = Math.round(this.size.width * ratio);
    const height = Math.round(this.size.height * ratio);
    const key = `${position} ${tape?.length} ${complete}`;
    if (!width || (key === this.shownAt && !this.dirty)) return;
    this.shownAt = key;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const rate = tape?.rate ?? 24000;
    const left = this.leftEdge(position / rate);
    this.dirty = !this.#compute(left, complete);
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [w, h] = [width / ratio, height / ratio];
    context.clearRect(0, 0, w, h);
    const waveHeight = (h - SCALE_PX) * WAVE_SHARE;
    this.#drawMel(left, w, waveHeight + 6, h - SCALE_PX - waveHeight - 6);
    this.#drawWave(left, position / rate, w, waveHeight);
    this.#drawScale(left, w, h);
    this.#drawPlayhead(((position / rate - left) / WINDOW_S) * w, h - SCALE_PX);
  }

  /** The time at the left edge. @param {number} now s */
  leftEdge(now) {
    if (reducedMotion.matches) return Math.floor(now / WINDOW_S) * WINDOW_S;
    return Math.max(0, now - PLAYHEAD * WINDOW_S);
  }

  /** Compute columns that are missing; returns whether all are there. @param {number} left @param {boolean} complete */
  #compute(left, complete) {
    const { tape, mel } = this;
    if (!tape) return true;
    const hop = tape.rate / COLUMNS_PER_S;
    const first = Math.max(Math.floor(left * COLUMNS_PER_S), Math.ceil(tape.start / hop));
    const known = Math.floor((tape.length - (complete ? 0 : mel.size)) / hop);
    const last = Math.min(first + WINDOW_S * COLUMNS_PER_S, known);
    let budget = PER_DRAW;
    for (let number = first; number < last; number += 1) {
      const place = number % KEPT;
      if (this.numbers[place] === number) continue;
      if (!budget--) return false;
      const samples = tape.read(Math.max(tape.start, number * hop - mel.size / 2), mel.size);
      this.#paintColumn(place, mel.compute(samples));
      let peak = 0;
      for (const sample of tape.read(number * hop, hop)) peak = Math.max(peak, Math.abs(sample));
      this.#paintPeak(place, peak);
      this.numbers[place] = number;
    }
    return true;
  }

  /** @param {number} place @param {Float32Array} bands */
  #paintColumn(place, bands) {
    const column = this.melStrip.createImageData(1, bands.length);
    bands.forEach((value, band) => {
      column.data.set(this.colours.ramp[Math.round(255 * value)], 4 * (bands.length - 1 - band));
    });
    this.melStrip.putImageData(column, place, 0);
  }

  /** @param {number} place @param {number} peak */
  #paintPeak(place, peak) {
    const half = Math.max(0.5, (peak ** 0.7 * WAVE_PX) / 2);
    this.waveStrip.clearRect(place, 0, 1, WAVE_PX);
    this.waveStrip.fillStyle = this.colours.accent;
    this.waveStrip.fillRect(place, WAVE_PX / 2 - half, 1, 2 * half);
  }

  /** @param {number} left @param {number} w @param {number} y @param {number} h */
  #drawMel(left, w, y, h) {
    this.context.fillStyle = this.colours.surface;
    this.context.fillRect(0, y, w, h);
    this.#copy(this.melStrip.canvas, left, left + WINDOW_S, left, w, y, h);
  }

  /** The envelope; what is not heard yet is pale. @param {number} left @param {number} now @param {number} w @param {number} h */
  #drawWave(left, now, w, h) {
    const { context } = this;
    context.fillStyle = this.colours.line;
    context.fillRect(0, h / 2 - 0.5, w, 1);
    const { canvas } = this.waveStrip;
    this.#copy(canvas, left, now, left, w, 0, h);
    context.globalAlpha = PALE;
    this.#copy(canvas, Math.max(left, now), left + WINDOW_S, left, w, 0, h);
    context.globalAlpha = 1;
  }

  /**
   * Copy the columns of some time from a strip to the picture.
   *
   * @param {HTMLCanvasElement} strip
   * @param {number} from s
   * @param {number} to s
   * @param {number} left the time at the left edge, s
   * @param {number} w
   * @param {number} y
   * @param {number} h
   */
  #copy(strip, from, to, left, w, y, h) {
    const end = Math.floor(to * COLUMNS_PER_S);
    for (let number = Math.floor(from * COLUMNS_PER_S); number < end;) {
      const place = number % KEPT;
      let size = 0; // columns that lie side by side
      while (
        number + size < end &&
        place + size < KEPT &&
        this.numbers[place + size] === number + size
      ) {
        size += 1;
      }
      if (size) {
        const x = ((number / COLUMNS_PER_S - left) / WINDOW_S) * w;
        const wide = (size / COLUMNS_PER_S / WINDOW_S) * w;
        this.context.drawImage(strip, place, 0, size, strip.height, x, y, wide, h);
      }
      number += Math.max(1, size);
    }
  }

  /** @param {number} left @param {number} w @param {number} h */
  #drawScale(left, w, h) {
    const { context } = this;
    context.fillStyle = this.colours.muted;
    context.font = `11px ${this.colours.fontFamily}`;
    context.textBaseline = "bottom";
    for (let second = Math.ceil(left / 2) * 2; second < left + WINDOW_S; second += 2) {
      const x = ((second - left) / WINDOW_S) * w;
      const text = `${Math.floor(second / 60)}:${String(second % 60).padStart(2, "0")}`;
      context.fillRect(x, h - SCALE_PX, 1, 4);
      if (x < w - 30) context.fillText(text, x + 4, h);
    }
  }

  /** @param {number} x @param {number} h */
  #drawPlayhead(x, h) {
    this.context.fillStyle = this.colours.ink;
    this.context.fillRect(Math.max(0, Math.round(x) - 0.75), 0, 1.5, h);
  }
}

/** @param {number} height */
function makeStrip(height) {
  const strip = Object.assign(document.createElement("canvas"), { width: KEPT, height });
  return /** @type {CanvasRenderingContext2D} */ (strip.getContext("2d"));
}

/** The page's colours, light or dark, those of the spectrogram from silence to loud, and its font. */
function readColours() {
  const style = getComputedStyle(document.body);
  /** @param {string} name */
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const stops = ["surface", "accent", "ink"].map((name) => parseColour(read(name)));
  return {
    surface: read("surface"),
    ink: read("ink"),
    muted: read("muted"),
    line: read("line"),
    accent: read("accent"),
    fontFamily: style.fontFamily,
    ramp: Array.from({ length: 256 }, (_, at) => blend(stops, (at / 255) ** CONTRAST)),
  };
}

/** @param {string} colour such as #a0b1c2 */
function parseColour(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** @param {number[][]} stops @param {number} share */
function blend(stops, share) {
  const place = share * (stops.length - 1);
  const at = Math.min(stops.length - 2, Math.floor(place));
  const mixed = stops[at].map((from, part) => from + (stops[at + 1][part] - from) * (place - at));
  return [...mixed, 255];
}
