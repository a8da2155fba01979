import type { Fault } from "#core/errors";

/** Below this, a chunk that has to wait is copied together with its neighbours. */
const smallChunk = 1024;
const blockSize = 16 * 1024;

/**
 * Data of one direction between the connection and its one consumer. The window bounds the bytes; joining small chunks
 * bounds their number, since a peer may fill the window byte by byte. `consumed` is told of a chunk when the next is asked for.
 */
export class Inbox implements AsyncIterableIterator<Uint8Array> {
  readonly #consumed: (bytes: number) => void;
  #chunks: Uint8Array[] = [];
  #first = 0;
  /** The last of `#chunks`, when it is a block of ours with room behind it. */
  #block: { buffer: Uint8Array; used: number } | undefined;
  #handed = 0;
  #queued = 0;
  #waiting: PromiseWithResolvers<IteratorResult<Uint8Array>>[] = [];
  #end: { error: Fault | undefined } | undefined;

  constructor(consumed: (bytes: number) => void) {
    this.#consumed = consumed;
  }

  /** Bytes that arrived and that the consumer is not done with. */
  get unread(): number {
    return this.#queued + this.#handed;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#end) return;
    const reader = this.#waiting.shift();
    if (reader) {
      this.#handed += chunk.length;
      reader.resolve({ done: false, value: chunk });
      return;
    }
    this.#queued += chunk.length;
    if (chunk.length >= smallChunk) {
      this.#block = undefined;
      this.#chunks.push(chunk);
    } else this.#join(chunk);
  }

  /** What is queued is still read; then reading ends, or throws `error` when one is given. */
  end(error?: Fault): void {
    if (this.#end) return;
    this.#end = { error };
    for (const reader of this.#waiting.splice(0)) {
      if (error) reader.reject(error);
      else reader.resolve({ done: true, value: undefined });
    }
  }

  /** For a consumer that is done: forgets what is queued. Answers how many bytes were unread. */
  drop(): number {
    const dropped = this.unread;
    this.#queued = 0;
    this.#handed = 0;
    this.#clear();
    return dropped;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#handed > 0) {
      const bytes = this.#handed;
      this.#handed = 0;
      this.#consumed(bytes);
    }
    const chunk = this.#shift();
    if (chunk) {
      this.#handed = chunk.length;
      this.#queued -= chunk.length;
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.#end?.error) return Promise.reject(this.#end.error);
    if (this.#end) return Promise.resolve({ done: true, value: undefined });
    const reader = Promise.withResolvers<IteratorResult<Uint8Array>>();
    this.#waiting.push(reader);
    return reader.promise;
  }

  /** Itself: a loop that breaks off may be taken up by another. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  #shift(): Uint8Array | undefined {
    const chunk = this.#chunks[this.#first];
    if (!chunk) return undefined;
    this.#first++;
    if (this.#first === this.#chunks.length) this.#clear();
    else if (this.#first >= 1024) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
    return chunk;
  }

  #clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#block = undefined;
  }

  #join(chunk: Uint8Array): void {
    const block = this.#block;
    if (block && block.used + chunk.length <= block.buffer.length) {
      block.buffer.set(chunk, block.used);
      block.used += chunk.length;
      this.#chunks[this.#chunks.length - 1] = block.buffer.subarray(0, block.used);
      return;
    }
    // The first small chunk to wait stays as it is: with a consumer that keeps up there is no second.
    if (this.#chunks.length === 0) {
      this.#chunks.push(chunk);
      return;
    }
    const buffer = new Uint8Array(blockSize);
    buffer.set(chunk);
    this.#block = { buffer, used: chunk.length };
    this.#chunks.push(buffer.subarray(0, chunk.length));
  }
}
