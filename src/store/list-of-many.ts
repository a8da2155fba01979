import type { Backend, News, Revision, Stored } from "#backend";
import { Fault } from "#core/errors";

interface Parts<T> {
  readonly backend: Pick<Backend, "range" | "since">;
  readonly prefix: string;
  readonly read: (item: Stored) => T;
}

/** Never changed, only replaced: who listed at the same time may still read it. */
interface List<T> {
  /** In the storage's order. */
  readonly keys: readonly string[];
  /** One for each key. */
  readonly values: readonly T[];
  /** Up to where it holds what was written. */
  readonly revision: Revision;
}

/** The records under a prefix, thousands of them, listed again and again: only what changed in between is read. */
export class ListOfMany<T> {
  readonly #parts: Parts<T>;
  #known: List<T> | undefined;

  constructor(parts: Parts<T>) {
    this.#parts = parts;
  }

  /** By key order. Has every write that had resolved before; a record that did not change is the same object as before. */
  async now(): Promise<T[]> {
    const known = this.#known;
    const news = known && (await this.#newsSince(known.revision));
    const list = news ? this.#changed(known, news) : await this.#readAll();
    // Another call may have come further meanwhile: then the next one only has more to catch up with.
    this.#known = list;
    if (!news || news.over.length === 0) return [...list.values];
    const over = new Set(news.over);
    return list.values.filter((_, at) => !over.has(list.keys[at] as string));
  }

  /** Undefined when the history does not reach back that far. */
  async #newsSince(revision: Revision): Promise<News | undefined> {
    try {
      return await this.#parts.backend.since(this.#parts.prefix, revision);
    } catch (err) {
      if (Fault.is(err, "limit_exceeded")) return undefined;
      throw err;
    }
  }

  async #readAll(): Promise<List<T>> {
    const range = this.#parts.backend.range(this.#parts.prefix);
    const revision = await range.revision();
    const keys: string[] = [];
    const values: T[] = [];
    for await (const item of range) {
      keys.push(item.key);
      values.push(this.#parts.read(item));
    }
    return { keys, values, revision };
  }

  #changed(list: List<T>, { changes, revision }: News): List<T> {
    if (changes.length === 0) return { ...list, revision };
    // Only the last of each key is read: what was damaged may have been put right since.
    const last = new Map(changes.map((one) => [one.type === "put" ? one.item.key : one.key, one]));
    const [keys, values] = [[...list.keys], [...list.values]];
    for (const [key, change] of last) {
      const at = placeOf(key, keys);
      const there = keys[at] === key ? 1 : 0;
      if (change.type === "put") {
        keys.splice(at, there, key);
        values.splice(at, there, this.#parts.read(change.item));
      } else {
        keys.splice(at, there);
        values.splice(at, there);
      }
    }
    return { keys, values, revision };
  }
}

/** Where `key` is among keys in the order of their UTF-8 bytes, or has to come. */
function placeOf(key: string, keys: readonly string[]): number {
  const bytes = Buffer.from(key);
  let [from, to] = [0, keys.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (Buffer.compare(Buffer.from(keys[middle] as string), bytes) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}
