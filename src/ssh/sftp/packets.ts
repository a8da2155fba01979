import { Fault } from "#core/errors";
import { maxMessage } from "./messages.ts";

/** Two of the largest, so that what is left of one is seldom moved to the front. */
const size = 2 * (4 + maxMessage);

/**
 * Cuts a byte stream into messages without a copy: it is read into `room()`, and the messages lie where they were read.
 * It never grows.
 */
export class Packets {
  readonly #buffer = new Uint8Array(size);
  readonly #view = new DataView(this.#buffer.buffer);
  #from = 0;
  #to = 0;

  /** Where the next bytes go, after `next` has returned undefined; ends the life of the messages given out before. */
  room(): Uint8Array {
    if (this.#from === this.#to) {
      this.#from = 0;
      this.#to = 0;
    } else if (this.#from > 0 && this.#from + 4 + maxMessage > size) {
      this.#buffer.copyWithin(0, this.#from, this.#to);
      this.#to -= this.#from;
      this.#from = 0;
    }
    return this.#buffer.subarray(this.#to);
  }

  filled(count: number): void {
    this.#to += count;
  }

  /** The next whole message without its length. Throws `protocol` for one that is empty or over `maxMessage`. */
  next(): Uint8Array | undefined {
    const have = this.#to - this.#from;
    if (have < 4) return undefined;
    const length = this.#view.getUint32(this.#from);
    if (length === 0 || length > maxMessage)
      throw new Fault("protocol", `sftp message of ${length} bytes: only 1 to ${maxMessage} are allowed`);
    if (have < 4 + length) return undefined;
    const start = this.#from + 4;
    this.#from = start + length;
    return this.#buffer.subarray(start, this.#from);
  }
}
