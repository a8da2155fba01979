import { Fault } from "#core/errors";

const uint32Max = 0xffff_ffff;

/** The peer's remaining credit, in bytes (RFC 4254 §5.2). Writers wait here: this is all the backpressure there is. */
export class SendWindow {
  #left: number;
  #closed: Fault | undefined;
  #changed = Promise.withResolvers<void>();
  constructor(left: number) {
    this.#left = left;
  }

  /** Takes `want` bytes if they are there at once. */
  tryTake(want: number): boolean {
    if (this.#left < want) return false;
    this.#left -= want;
    return true;
  }

  /** Takes between 1 and `want` bytes of credit, waiting while there is none. Throws what `close` was given. */
  async take(want: number): Promise<number> {
    while (this.#left === 0 && !this.#closed) await this.#changed.promise;
    if (this.#closed) throw this.#closed;
    const n = Math.min(want, this.#left);
    this.#left -= n;
    return n;
  }

  add(n: number): void {
    if (this.#left + n > uint32Max) throw new Fault("protocol", "window adjust passes 2^32-1");
    this.#left += n;
    if (n > 0) this.#wake();
  }

  close(reason: Fault): void {
    this.#closed ??= reason;
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** What the peer may still send us, and what of it our consumer has read but we have not given back yet. */
export class ReceiveWindow {
  readonly #size: number;
  #left: number;
  #read = 0;
  constructor(size: number) {
    this.#size = size;
    this.#left = size;
  }

  /** Accounts for data that arrived. */
  spend(n: number): void {
    if (n > this.#left) throw new Fault("protocol", `peer sent ${n} bytes into a window of ${this.#left}`);
    this.#left -= n;
  }

  /** Accounts for data the consumer is done with. Answers how much to give back now: nothing before half a window. */
  consumed(n: number): number {
    this.#read += n;
    if (this.#read < this.#size / 2) return 0;
    const back = this.#read;
    this.#left += back;
    this.#read = 0;
    return back;
  }
}
