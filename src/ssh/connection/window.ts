import type { Clock, Millis } from "#core/clock";
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

/**
 * A wait of the peer that is shorter than this may be anything: on a short line that it is not its turn to run. There a
 * larger window would halve the speed, since what waits in it leaves the processor's caches.
 */
const noticeable: Millis = 10;
/** The window grows when the peer waited for this share of the time. */
const tooMuch = 1 / 16;

/**
 * What the peer may still send us, and what of it our consumer has read but we have not given back yet. Over a long line a
 * peer that has used up its window waits for credit that is on its way: then the window is what limits the speed, not
 * the consumer, and it grows. RFC 4254 §5.2 lets it, by an adjustment larger than what was read.
 */
export class ReceiveWindow {
  readonly #clock: Pick<Clock, "uptime">;
  readonly #grow: (size: number) => number;
  #size: number;
  #left: number;
  #read = 0;
  /** Since the channel is open: all that came, and all that was allowed. */
  #received = 0;
  #granted: number;
  /** What was allowed before each adjustment that the peer may not have yet. */
  #known: number[] = [];
  /** When the peer had used up what it knew of. */
  #stuckAt: Millis | undefined;
  /** While this much was given back, since then, the peer waited this long. Of the first nobody knows when it began. */
  #round = { given: 0, since: 0, stuck: 0 };

  /** `grow` is asked by how much more than `size` the window may be. */
  constructor(size: number, clock: Pick<Clock, "uptime">, grow: (size: number) => number) {
    this.#size = size;
    this.#left = size;
    this.#granted = size;
    this.#clock = clock;
    this.#grow = grow;
  }

  /** Bytes that may be unread at a time. */
  get size(): number {
    return this.#size;
  }

  /** Accounts for data that arrived. */
  spend(n: number): void {
    if (n > this.#left) throw new Fault("protocol", `peer sent ${n} bytes into a window of ${this.#left}`);
    this.#left -= n;
    this.#received += n;
    if (this.#stuckAt !== undefined) {
      const waited = this.#clock.uptime() - this.#stuckAt;
      if (waited >= noticeable) this.#round.stuck += waited;
      this.#stuckAt = undefined;
    }
    while (this.#known.length > 0 && (this.#known[0] as number) < this.#received) this.#known.shift();
    if (this.#known[0] === this.#received) this.#stuckAt = this.#clock.uptime();
  }

  /** Accounts for data the consumer is done with. Answers how much to give back now: nothing before a quarter of a window. */
  consumed(n: number): number {
    this.#read += n;
    if (this.#read < this.#size / 4) return 0;
    // A peer that has nothing left waits for our consumer, however far away it is.
    if (this.#left > 0) this.#known.push(this.#granted);
    const back = this.#read + this.#growth();
    this.#left += back;
    this.#granted += back;
    this.#read = 0;
    return back;
  }

  /** At the end of each window's worth. */
  #growth(): number {
    const round = this.#round;
    round.given += this.#read;
    if (round.given < this.#size) return 0;
    const now = this.#clock.uptime();
    const slow = round.stuck > (now - round.since) * tooMuch;
    this.#round = { given: 0, since: now, stuck: 0 };
    if (!slow) return 0;
    const more = this.#grow(this.#size);
    this.#size += more;
    return more;
  }
}
