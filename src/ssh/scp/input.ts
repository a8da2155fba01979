import { Fault } from "#core/errors";

/** Reads a byte stream in the three ways that scp mixes: single bytes, lines, and counted data. */
export class ScpInput {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Undefined at the end of the stream. */
  async byte(): Promise<number | undefined> {
    if (this.#held.length === 0 && !(await this.#more())) return undefined;
    const [first] = this.#held;
    this.#held = this.#held.subarray(1);
    return first;
  }

  /** The bytes up to the next newline, which is dropped. Throws `protocol` past `max` bytes or at the end. */
  async line(max = 8192): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    while (true) {
      const at = this.#held.indexOf(0x0a);
      const part = this.#held.subarray(0, at < 0 ? undefined : at);
      parts.push(part);
      length += part.length;
      if (length > max) throw new Fault("protocol", "scp: a line of the other side is too long");
      this.#held = this.#held.subarray(at < 0 ? this.#held.length : at + 1);
      if (at >= 0) return Buffer.concat(parts);
      if (!(await this.#more())) throw lost();
    }
  }

  /** The next `count` bytes, in pieces. Throws `protocol` when the stream ends before. */
  async *take(count: number): AsyncGenerator<Uint8Array> {
    let left = count;
    while (left > 0) {
      if (this.#held.length === 0 && !(await this.#more())) throw lost();
      const piece = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async #more(): Promise<boolean> {
    while (this.#held.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return false;
      this.#held = value;
    }
    return true;
  }
}

export const lost = (): Fault => new Fault("protocol", "scp: lost connection");
