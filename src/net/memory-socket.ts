import { Duplex } from "node:stream";

/**
 * Both ends of a connection that never leaves the process, with the manners of a socket: each direction ends by itself,
 * a chunk is taken when the other side has room for it, and what is left when one end is destroyed is an end of file
 * for the other, whose writes then fail with EPIPE. Chunks are handed over, not copied.
 */
export function memorySockets(): [Duplex, Duplex] {
  const [one, other] = [new MemorySocket(), new MemorySocket()];
  one.peer = other;
  other.peer = one;
  return [one, other];
}

class MemorySocket extends Duplex {
  peer: MemorySocket | undefined;
  /** Of the peer's last chunk, which found us full. */
  #taken: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: true, emitClose: true });
  }

  override _read(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (err?: Error) => void): void {
    const { peer } = this;
    if (peer === undefined || peer.destroyed) done(brokenPipe());
    else if (peer.push(chunk)) done();
    else peer.#taken = done;
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }

  override _destroy(err: Error | null, done: (err: Error | null) => void): void {
    const { peer } = this;
    this.peer = undefined;
    this._read();
    // What was written is still read there, and then no more.
    if (peer !== undefined && !peer.destroyed && !this.writableFinished) peer.push(null);
    done(err);
  }
}

const brokenPipe = (): Error => Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
