import { Duplex } from "node:stream";

/** What happens to the bytes of one direction on their way: one chunk in, any number of chunks out. */
export type Tamper = (chunk: Buffer) => Iterable<Buffer>;

/** Two byte streams, each the other's far end, with backpressure and half-close as sockets have them. */
export function streamPair(tamper: { toA?: Tamper; toB?: Tamper } = {}): [Duplex, Duplex] {
  const a: End = new End(() => b, tamper.toB);
  const b: End = new End(() => a, tamper.toA);
  return [a, b];
}

/** Cuts chunks into pieces of `size` bytes. */
export const pieces = (size: number): Tamper =>
  function* (chunk) {
    for (let at = 0; at < chunk.length; at += size) yield chunk.subarray(at, at + size);
  };

class End extends Duplex {
  readonly #far: () => End;
  readonly #tamper: Tamper | undefined;
  #taken: (() => void) | undefined;

  constructor(far: () => End, tamper: Tamper | undefined) {
    super({ allowHalfOpen: true });
    this.#far = far;
    this.#tamper = tamper;
  }

  override _read(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (err?: Error | null) => void): void {
    const far = this.#far();
    if (far.destroyed) {
      done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
      return;
    }
    let wants = true;
    for (const piece of this.#tamper ? this.#tamper(chunk) : [chunk]) wants = far.push(Buffer.from(piece));
    if (wants) setImmediate(done);
    else far.#taken = done;
  }

  override _final(done: () => void): void {
    const far = this.#far();
    if (!far.destroyed) far.push(null);
    done();
  }

  override _destroy(err: Error | null, done: (err: Error | null) => void): void {
    const far = this.#far();
    if (!far.destroyed && !far.readableEnded) far.push(null);
    this.#taken?.();
    done(err);
  }
}
