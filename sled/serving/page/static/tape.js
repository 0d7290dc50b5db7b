/** The audio of a reading. Its last minutes are kept, to be heard again; older audio is dropped. */

const KEPT_S = 20 * 60;

export class Tape {
  /**
   * @param {number} rate Hz
   * @param {number} [keptS] seconds that are kept at least
   */
  constructor(rate, keptS = KEPT_S) {
    this.rate = rate;
    /** Samples so far, the dropped ones included. */
    this.length = 0;
    /** The first sample that is kept. */
    this.start = 0;
    /** Blocks of one second; a sparse beginning has been dropped. @type {Map<number, Int16Array>} */
    this.blocks = new Map();
    this.maxBlocks = keptS + 1;
  }

  /** @param {Int16Array} samples */
  append(samples) {
    for (let done = 0; done < samples.length;) {
      const number = Math.floor(this.length / this.rate);
      const place = this.length % this.rate;
      const part = samples.subarray(done, done + this.rate - place);
      this.#block(number).set(part, place);
      done += part.length;
      this.length += part.length;
    }
  }

  /**
   * Forget all from a sample on.
   *
   * @param {number} at may be between two samples, as a player's position is
   */
  truncate(at) {
    this.length = Math.max(this.start, Math.min(Math.round(at), this.length));
  }

  /**
   * Samples from a place on; fewer if there are not so many.
   *
   * @param {number} from may be between two samples
   * @param {number} count
   * @returns {Float32Array<ArrayBuffer>} within -1..1
   */
  read(from, count) {
    const first = Math.max(Math.round(from), this.start);
    const output = new Float32Array(Math.max(0, Math.min(count, this.length - first)));
    for (let done = 0; done < output.length;) {
      const place = (first + done) % this.rate;
      const block = this.blocks.get(Math.floor((first + done) / this.rate));
      const size = Math.min(this.rate - place, output.length - done);
      for (let index = 0; block && index < size; index += 1) {
        output[done + index] = block[place + index] / 32768;
      }
      done += size;
    }
    return output;
  }

  /** @param {number} number */
  #block(number) {
    const found = this.blocks.get(number);
    if (found) return found;
    const block = new Int16Array(this.rate);
    this.blocks.set(number, block);
    const oldest = number - this.maxBlocks;
    if (this.blocks.delete(oldest)) this.start = (oldest + 1) * this.rate;
    return block;
  }
}
