import type { Clock, Millis } from "#core/clock";
import { Fault, notFound } from "#core/errors";
import { changed, checkKey, checkOps, checkPrefix, exists, tooOld } from "./bounds.ts";
import { catchUp, follow, type History, positionOf, revisionAt } from "./follow.ts";
import type {
  Backend,
  Change,
  Condition,
  Extension,
  Item,
  News,
  Op,
  Range,
  RangeOptions,
  Revision,
  Stored,
} from "./index.ts";

const sweepEvery: Millis = 500;

/** Storage that ends with the process: for caches and tests. */
export class MemoryBackend implements Backend {
  readonly #clock: Clock;
  readonly #items = new Map<string, Stored>();
  readonly #closed = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #keep: number;
  /** The last changes; the first of them is at position `#pruned + 1`. */
  #changes: Change[] = [];
  #pruned = 0;
  /** No item expires before this. */
  #nextExpiry: Millis = Infinity;

  /** `history`: how many changes a watcher may be behind. */
  constructor(clock: Clock, { history = 10_000 }: { history?: number } = {}) {
    this.#clock = clock;
    this.#keep = history;
    void this.#sweepNowAndThen();
  }

  async get(key: string): Promise<Stored> {
    this.#enter();
    checkKey(key);
    const item = this.#items.get(key);
    if (!item) throw notFound("key", key);
    return copy(item);
  }

  async create(item: Item): Promise<Revision> {
    checkOps([{ type: "put", item }]);
    this.#enter();
    if (this.#items.has(item.key)) throw exists(item.key);
    return this.#apply([{ type: "put", item }]);
  }

  put(item: Item): Promise<Revision> {
    return this.commit([{ type: "put", item }]);
  }

  compareAndSwap(item: Item, revision: Revision): Promise<Revision> {
    return this.commit([{ type: "put", item }], [{ key: item.key, revision }]);
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    this.#enter();
    if (!this.#items.has(key)) throw notFound("key", key);
    this.#apply([{ type: "delete", key }]);
  }

  async deletePrefix(prefix: string): Promise<void> {
    checkPrefix(prefix);
    this.#enter();
    this.#apply(this.#keys(prefix).map((key) => ({ type: "delete", key })));
  }

  async commit(ops: readonly Op[], conditions: readonly Condition[] = []): Promise<Revision> {
    checkOps(ops);
    for (const { key } of conditions) checkKey(key);
    this.#enter();
    for (const { key, revision } of conditions)
      if ((this.#items.get(key)?.revision ?? "absent") !== revision) throw changed(key);
    return this.#apply(ops);
  }

  async extend(items: readonly Extension[]): Promise<void> {
    for (const { key } of items) checkKey(key);
    this.#enter();
    for (const { key, expires } of items) {
      const item = this.#items.get(key);
      if (item?.expires !== undefined && item.expires < expires) this.#items.set(key, { ...item, expires });
    }
  }

  range(prefix: string, { limit = Infinity, after = "" }: RangeOptions = {}): Range {
    checkPrefix(prefix);
    const read = async function* (this: MemoryBackend): AsyncGenerator<Stored> {
      this.#enter();
      let left = limit;
      for (const key of this.#keys(prefix)) {
        if (left <= 0) return;
        const item = this.#items.get(key);
        if (!item || (after !== "" && byBytes(key, after) <= 0)) continue;
        left--;
        yield copy(item);
      }
    };
    return {
      revision: async () => {
        this.#enter();
        return revisionAt(this.#head);
      },
      [Symbol.asyncIterator]: () => read.call(this),
    };
  }

  async since(prefix: string, after: Revision): Promise<News> {
    checkPrefix(prefix);
    this.#enter();
    const read: History["read"] = (under, from) => this.#read(under, from);
    const { changes, next } = catchUp({ read }, prefix, positionOf(after));
    return { changes, over: [], revision: revisionAt(next) };
  }

  async watch(
    prefix: string,
    { after, signal }: { after?: Revision; signal: AbortSignal },
  ): Promise<AsyncIterable<Change>> {
    checkPrefix(prefix);
    this.#enter();
    const history: History = {
      read: (under, from) => this.#read(under, from),
      listen: (ring) => {
        this.#listeners.add(ring);
        return () => this.#listeners.delete(ring);
      },
    };
    const start = after === undefined ? this.#head : positionOf(after);
    this.#read(prefix, start);
    return follow(history, prefix, start, AbortSignal.any([signal, this.#closed.signal]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
  }

  get #head(): number {
    return this.#pruned + this.#changes.length;
  }

  /** Every call starts here, so that none sees an item past its time. */
  #enter(): void {
    if (this.#closed.signal.aborted) throw new Fault("unreachable", "the storage is closed");
    const now = this.#clock.now();
    if (now < this.#nextExpiry) return;
    this.#nextExpiry = Infinity;
    const gone: Op[] = [];
    for (const { key, expires = Infinity } of this.#items.values()) {
      if (expires <= now) gone.push({ type: "delete", key });
      else this.#nextExpiry = Math.min(this.#nextExpiry, expires);
    }
    if (gone.length > 0) this.#apply(gone);
  }

  #apply(ops: readonly Op[]): Revision {
    for (const op of ops) {
      const revision = revisionAt(this.#head + 1);
      if (op.type === "put") {
        const item = copy({ ...op.item, revision });
        this.#items.set(item.key, item);
        this.#nextExpiry = Math.min(this.#nextExpiry, item.expires ?? Infinity);
        this.#changes.push({ type: "put", item });
      } else if (this.#items.delete(op.key)) {
        this.#changes.push({ type: "delete", key: op.key, revision });
      }
    }
    // Cutting at twice the size makes it cheap: each change is moved once.
    if (this.#changes.length > 2 * this.#keep) {
      const surplus = this.#changes.length - this.#keep;
      this.#changes = this.#changes.slice(surplus);
      this.#pruned += surplus;
    }
    for (const ring of this.#listeners) ring();
    return revisionAt(this.#head);
  }

  #read(prefix: string, after: number): { changes: readonly Change[]; next: number } {
    // Negated, so that NaN is refused too.
    if (!(after >= this.#pruned && after <= this.#head)) throw tooOld();
    const from = after - this.#pruned;
    const window = this.#changes.slice(from, from + 256);
    const changes = window.filter((c) => (c.type === "put" ? c.item.key : c.key).startsWith(prefix));
    return {
      changes: changes.map((c) => (c.type === "put" ? { type: "put", item: copy(c.item) } : c)),
      next: after + window.length,
    };
  }

  #keys(prefix: string): string[] {
    return [...this.#items.keys()].filter((key) => key.startsWith(prefix)).sort(byBytes);
  }

  async #sweepNowAndThen(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      // Only the abort of our own signal rejects here.
      await this.#clock.sleep(sweepEvery, signal, { background: true }).catch(() => {});
      if (!signal.aborted) this.#enter();
    }
  }
}

/** A caller that changes its bytes changes only its own. */
const copy = (item: Stored): Stored => ({ ...item, value: Uint8Array.from(item.value) });

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
