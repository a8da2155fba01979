/**
 * An unbounded single-reader queue that is read by iteration. Bounds, where needed, are the producer's (a window, a limit).
 * The iterator is written out, not a generator: thousands of members are heard and answered through queues.
 */
export class Queue<T> implements AsyncIterable<T> {
  #items: T[] = [];
  /** Index of the next item: taken ones are dropped together when the last is. */
  #next = 0;
  #ended = false;
  #error: unknown;
  #reader: PromiseWithResolvers<IteratorResult<T>> | undefined;

  get size(): number {
    return this.#items.length - this.#next;
  }

  push(item: T): void {
    if (this.#ended) return;
    const reader = this.#reader;
    if (!reader) {
      this.#items.push(item);
      return;
    }
    this.#reader = undefined;
    reader.resolve({ value: item, done: false });
  }

  /** What is queued is still read; then reading ends, or throws `error` when one is given. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const reader = this.#reader;
    this.#reader = undefined;
    if (error !== undefined) reader?.reject(this.#takeError());
    else reader?.resolve(over);
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: () => this.#take(),
      return: () => {
        // A read under way would wait for ever.
        this.#reader?.resolve(over);
        this.#reader = undefined;
        return Promise.resolve(over);
      },
    };
  }

  #take(): Promise<IteratorResult<T, undefined>> {
    if (this.#next < this.#items.length) {
      const value = this.#items[this.#next++] as T;
      if (this.#next === this.#items.length) {
        this.#items = [];
        this.#next = 0;
      }
      return Promise.resolve({ value, done: false });
    }
    if (this.#ended)
      return this.#error === undefined ? Promise.resolve(over) : Promise.reject(this.#takeError());
    this.#reader = Promise.withResolvers();
    return this.#reader.promise as Promise<IteratorResult<T, undefined>>;
  }

  /** Thrown once; who reads on finds the end. */
  #takeError(): unknown {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }
}

const over = { value: undefined, done: true } as const;
