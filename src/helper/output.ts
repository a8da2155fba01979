import { Socket } from "node:net";

/** What a program says. */
export interface Output extends AsyncIterable<Uint8Array> {
  destroy(): void;
}

/** As much as a pipe holds. */
const size = 64 * 1024;
/** Chunks in one turn of the event loop; the system would go on for 32, for which everybody else waits 10 ms and more. */
const perTurn = 3;

/**
 * A pipe that is read into one buffer again and again: a chunk is good until the next is asked for. Reading a pipe as a
 * stream allocates 64 KiB for each read, which costs a bulk copy a fifth of its time; and it reads while nothing asks, so
 * that a program which writes small pieces is read piece by piece, with a packet for each.
 */
export class PipeOutput implements Output, AsyncIterator<Uint8Array> {
  readonly #socket: Socket;
  #chunk: Uint8Array | undefined;
  #ended = false;
  #wanted: ((result: IteratorResult<Uint8Array>) => void) | undefined;
  /** How many more this turn may have. */
  #left = perTurn;

  constructor(fd: number) {
    const buffer = Buffer.allocUnsafeSlow(size);
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer,
        callback: (count) => {
          this.#chunk = buffer.subarray(0, count);
          this.#give();
          return false;
        },
      },
    });
    const end = (): void => {
      this.#ended = true;
      this.#give();
    };
    this.#socket.once("end", end).once("close", end).on("error", end);
    this.#socket.pause();
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const { promise, resolve } = Promise.withResolvers<IteratorResult<Uint8Array>>();
    this.#wanted = resolve;
    if (this.#ended) this.#give();
    else if (this.#left > 0) this.#read();
    return promise;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #read(): void {
    if (this.#left === perTurn) setImmediate(this.#onTurn);
    this.#left--;
    this.#socket.resume();
  }

  readonly #onTurn = (): void => {
    const waits = this.#left === 0 && this.#wanted !== undefined;
    this.#left = perTurn;
    // One that has been asked to read goes on by itself; reading it again does no harm.
    if (waits) this.#read();
  };

  #give(): void {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    this.#wanted = undefined;
    const value = this.#chunk;
    this.#chunk = undefined;
    wanted(value === undefined ? { done: true, value } : { done: false, value });
  }
}
