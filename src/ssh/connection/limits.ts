/** What a peer that has logged in may take of us on one connection. */
export interface ConnectionLimits {
  /** Channels the peer may have open at a time, undecided ones included; default 1024. */
  readonly maxChannels?: number;
  /** Bytes of all channels together that may wait for who reads them; default 128 MiB. */
  readonly maxBuffered?: number;
  /** Requests of all channels, and global ones, that may wait for an answer; default 1024. */
  readonly maxRequests?: number;
  /** Told of every time one of them is reached. */
  readonly onLimit?: (limit: ConnectionLimit) => void;
}

export const connectionLimits = ["channels", "buffered", "requests"] as const;
export type ConnectionLimit = (typeof connectionLimits)[number];

export const defaultMaxChannels = 1024;
const defaultMaxBuffered = 128 * 1024 * 1024;
const defaultMaxRequests = 1024;

/**
 * What we let a peer have in flight on one channel, in bytes, as long as there is plenty. Odd, so that a packet that ends
 * just where the window does was cut by the window, which is how a long line is told from a slow peer.
 */
const firstWindow = 2 * 1024 * 1024 - 1;
/** And at most, where that is too little for the length of the line: enough for 1 Gbit/s and 100 ms there and back. */
const maxWindow = 16 * 1024 * 1024;
/** The largest data packet we take, and so the smallest window with which a channel flows. */
export const maxPacket = 64 * 1024;

/**
 * Shares out the bytes that may wait on one connection: what a peer may send unread is what its windows allow. The
 * first channels get a large window each, later ones less, and all that may be open at least the smallest; a window grows
 * only by what is kept for none of those.
 */
export class WindowBudget {
  readonly #maxChannels: number;
  #left: number;
  #granted = 0;

  constructor({ maxBuffered = defaultMaxBuffered, maxChannels = defaultMaxChannels }: ConnectionLimits) {
    this.#left = maxBuffered;
    this.#maxChannels = maxChannels;
  }

  /** The window of one more channel; undefined when there is nothing left to give. */
  grant(): number | undefined {
    if (this.#left < maxPacket) return undefined;
    const spare = this.#spare(this.#granted + 1);
    const window = Math.min(firstWindow, Math.max(maxPacket, Math.floor(spare / 8)));
    this.#left -= window;
    this.#granted++;
    return window;
  }

  /** By how much a window of this size may grow: to twice as much if there is plenty, 0 if it may not. */
  grow(window: number): number {
    const more = Math.min(window, maxWindow - window, Math.floor(this.#spare(this.#granted) / 2));
    if (more < maxPacket) return 0;
    this.#left -= more;
    return more;
  }

  /** What is left when `granted` channels are open and the rest of those that may be get the smallest window. */
  #spare(granted: number): number {
    return this.#left - Math.max(0, this.#maxChannels - granted) * maxPacket;
  }

  /** The channel is over. What is `unread` of it stays taken until it is forgotten. */
  giveBack(window: number, unread = 0): void {
    this.#left += window - unread;
    this.#granted--;
  }

  forget(bytes: number): void {
    this.#left += bytes;
  }
}

/** Far above what an honest peer leaves unanswered on one channel. */
const maxWaiting = 256;
const maxWaitingBytes = 1 << 20;
const bytesEach = 4096;

/** Counts the requests that wait on one connection, and on each of its channels. */
export class RequestBudget {
  readonly #max: number;
  #count = 0;
  #bytes = 0;

  constructor({ maxRequests = defaultMaxRequests }: ConnectionLimits) {
    this.#max = maxRequests;
  }

  /** Whether one more of `bytes` may wait beside the `waiting` of its own channel; counts it when it may. */
  take(bytes: number, waiting: { readonly count: number; readonly bytes: number }): boolean {
    if (waiting.count >= maxWaiting || waiting.bytes + bytes > maxWaitingBytes) return false;
    if (this.#count >= this.#max || this.#bytes + bytes > Math.max(maxWaitingBytes, this.#max * bytesEach))
      return false;
    this.#count++;
    this.#bytes += bytes;
    return true;
  }

  giveBack(count: number, bytes: number): void {
    this.#count -= count;
    this.#bytes -= bytes;
  }
}
