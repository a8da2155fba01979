/**
 * The end of a process that lets go on what is open: from `begin` on it takes nothing new, and it is over with its last
 * connection.
 */
export class Leaving {
  readonly #begun = new AbortController();
  #replaced = false;

  /** Aborts when nothing new is to be taken. */
  get begun(): AbortSignal {
    return this.#begun.signal;
  }

  /** Whether another process of this host serves in its place, under its name. */
  get replaced(): boolean {
    return this.#replaced;
  }

  begin(how: { readonly replaced: boolean }): void {
    if (this.#begun.signal.aborted) return;
    this.#replaced = how.replaced;
    this.#begun.abort();
  }
}
