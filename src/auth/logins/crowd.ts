import type { Backend, Stored } from "#backend";
import { Fault } from "#core/errors";

/** Of so many records that strangers cause the oldest are dropped beyond this: some megabytes. */
const most = 20_000;
/** They are counted after so many new ones, since counting reads them all. */
const countEvery = 1000;

/** Keeps records that anybody can cause, by inventing names or changing addresses, from filling the storage. */
export class Crowd {
  readonly #backend: Backend;
  readonly #prefix: string;
  readonly #stays: (item: Stored) => boolean;
  readonly #bounds: { readonly most: number; readonly countEvery: number };
  #new = 0;

  /** `stays`: those that may not be dropped. */
  constructor(
    { backend, prefix }: { readonly backend: Backend; readonly prefix: string },
    stays: (item: Stored) => boolean,
    bounds = { most, countEvery },
  ) {
    this.#backend = backend;
    this.#prefix = prefix;
    this.#stays = stays;
    this.#bounds = bounds;
  }

  /** One more is there. */
  async added(): Promise<void> {
    if (++this.#new < this.#bounds.countEvery) return;
    this.#new = 0;
    const found: { key: string; expires: number }[] = [];
    for await (const item of this.#backend.range(this.#prefix))
      if (!this.#stays(item))
        found.push({ key: item.key, expires: item.expires ?? Number.POSITIVE_INFINITY });
    if (found.length <= this.#bounds.most) return;
    // Some more than there are too many, so that the next come in without a sweep.
    const kept = this.#bounds.most - Math.min(this.#bounds.countEvery, this.#bounds.most);
    found.sort((a, b) => a.expires - b.expires);
    for (const { key } of found.slice(0, found.length - kept)) {
      await this.#backend.delete(key).catch((err: unknown) => {
        if (!Fault.is(err, "not_found")) throw err;
      });
    }
  }
}
