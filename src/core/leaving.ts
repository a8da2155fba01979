/**
 * The end of a process that lets go on what is open: from `begin` on it takes nothing new, and it is over with its last
 * connection.
 */
export class Leaving {
  readonly #begun = new AbortController();
  readonly #last: Promise<unknown>[] = [];
  #replaced: boolean;

  /** `replaced`: until this process serves, another does. */
  constructor({ replaced = false } = {}) {
    this.#replaced = replaced;
  }

  /** Aborts when nothing new is to be taken. */
  get begun(): AbortSignal {
    return this.#begun.signal;
  }

  /** Whether another process of this host serves in its place, under its name: then what is told of the host is not ours. */
  get replaced(): boolean {
    return this.#replaced;
  }

  /** From now on nobody else serves under this name. */
  serves(): void {
    this.#replaced = false;
  }

  /** The process is not over before `work` is, which never rejects. */
  waitFor(work: Promise<unknown>): void {
    this.#last.push(work);
  }

  /** Resolves when nothing is left to wait for. */
  async over(): Promise<void> {
    await Promise.all(this.#last);
  }

  begin(how: { readonly replaced: boolean }): void {
    if (this.#begun.signal.aborted) return;
    this.#replaced = how.replaced;
    this.#begun.abort();
  }
}
