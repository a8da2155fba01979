import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock, Millis } from "#core/clock";
import { Fault, notFound } from "#core/errors";
import type { Log } from "#core/log";
import { changed, checkKey, checkOps, checkPrefix, exists, keyOf, tooOld } from "./bounds.ts";
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
import { asFault, isBusy, openFile } from "./sqlite-file.ts";

const tickEvery: Millis = 500;
const historyAge: Millis = 10 * 60_000;
/** How long a write waits for other processes before it is refused. */
const patience: Millis = 10_000;
const pageSize = 256;
/** Extensions of one transaction: a few milliseconds in which nothing else happens. */
const extendedAtOnce = 1000;

/** One write waiting for the next transaction. */
interface Job {
  /** Checks and writes inside the transaction; must throw before it writes, if it throws. */
  readonly work: () => Revision;
  readonly done: (revision: Revision) => void;
  readonly failed: (err: unknown) => void;
}

interface Options {
  readonly clock: Clock;
  readonly log: Log;
  /** How many changes a watcher may be behind. */
  readonly history?: number;
}

/**
 * Storage in one SQLite file, which several processes of this host may have open. Writes of the same moment share one
 * transaction, and so one fsync; each still succeeds or fails alone.
 */
export class SqliteBackend implements Backend {
  readonly #db: DatabaseSync;
  readonly #sql: Statements;
  readonly #file: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #keep: number;
  readonly #closed = new AbortController();
  readonly #listeners = new Set<() => void>();
  #jobs: Job[] = [];
  #flushing: Promise<void> | undefined;
  readonly #ticking: Promise<void>;

  /** Opens `<folder>/sqlite.db`, making both when absent. Throws `bad_parameter`, `unreachable` or `internal` with what to do. */
  static async open(folder: string, options: Options): Promise<SqliteBackend> {
    const file = join(folder, "sqlite.db");
    return new SqliteBackend(await openFile(file, options.log), file, options);
  }

  private constructor(db: DatabaseSync, file: string, { clock, log, history = 10_000 }: Options) {
    this.#db = db;
    this.#sql = prepare(db);
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
    this.#keep = history;
    this.#ticking = this.#tick();
  }

  async get(key: string): Promise<Stored> {
    checkKey(key);
    const item = this.#reading(() => this.#find(key));
    if (!item) throw notFound("key", key);
    return item;
  }

  async create(item: Item): Promise<Revision> {
    return this.#submit([{ type: "put", item }], () => {
      if (this.#find(item.key)) throw exists(item.key);
    });
  }

  put(item: Item): Promise<Revision> {
    return this.commit([{ type: "put", item }]);
  }

  compareAndSwap(item: Item, revision: Revision): Promise<Revision> {
    return this.commit([{ type: "put", item }], [{ key: item.key, revision }]);
  }

  async delete(key: string): Promise<void> {
    await this.#submit([{ type: "delete", key }], () => {
      if (!this.#find(key)) throw notFound("key", key);
    });
  }

  async deletePrefix(prefix: string): Promise<void> {
    checkPrefix(prefix);
    await this.#write(() => {
      const rows = this.#sql.keys.all({ from: prefix, to: endOf(prefix) });
      return this.#apply(rows.map(({ key }) => ({ type: "delete", key: String(key) })));
    });
  }

  async commit(ops: readonly Op[], conditions: readonly Condition[] = []): Promise<Revision> {
    for (const { key } of conditions) checkKey(key);
    return this.#submit(ops, () => {
      for (const { key, revision } of conditions)
        if ((this.#find(key)?.revision ?? "absent") !== revision) throw changed(key);
    });
  }

  async extend(items: readonly Extension[]): Promise<void> {
    for (const { key } of items) checkKey(key);
    for (let from = 0; from < items.length; from += extendedAtOnce) {
      await this.#write(() => {
        const now = this.#clock.now();
        for (const { key, expires } of items.slice(from, from + extendedAtOnce))
          this.#sql.extend.run({ key, expires: Math.ceil(expires), now });
        return revisionAt(this.#head());
      });
    }
  }

  range(prefix: string, { limit = Infinity, after = "" }: RangeOptions = {}): Range {
    checkPrefix(prefix);
    const to = endOf(prefix);
    const read = async function* (this: SqliteBackend): AsyncGenerator<Stored> {
      // Keys hold no NUL: with one behind it, a key comes right after itself.
      let first = after === "" ? prefix : `${after}\0`;
      let left = limit;
      while (left > 0) {
        const page = this.#reading(() => {
          const now = this.#clock.now();
          const rows = this.#sql.page.all({
            from: prefix,
            first,
            to,
            now,
            limit: Math.min(left, pageSize),
          });
          return rows.map((row) => toItem(row as unknown as Row));
        });
        yield* page;
        left -= page.length;
        if (page.length < pageSize) return;
        first = `${page.at(-1)?.key}\0`;
      }
    };
    return {
      revision: async () => revisionAt(this.#reading(() => this.#head())),
      [Symbol.asyncIterator]: () => read.call(this),
    };
  }

  async since(prefix: string, after: Revision): Promise<News> {
    checkPrefix(prefix);
    return this.#reading(() => {
      const read: History["read"] = (under, from) => this.#changes(under, from);
      const { changes, next } = catchUp({ read }, prefix, positionOf(after));
      const over = this.#sql.over.all({ now: this.#clock.now(), from: prefix, to: endOf(prefix) });
      return { changes, over: over.map(({ key }) => String(key)), revision: revisionAt(next) };
    });
  }

  async watch(
    prefix: string,
    { after, signal }: { after?: Revision; signal: AbortSignal },
  ): Promise<AsyncIterable<Change>> {
    checkPrefix(prefix);
    const history: History = {
      read: (under, from) => this.#reading(() => this.#changes(under, from)),
      listen: (ring) => {
        this.#listeners.add(ring);
        return () => this.#listeners.delete(ring);
      },
    };
    const start = after === undefined ? this.#reading(() => this.#head()) : positionOf(after);
    history.read(prefix, start);
    return follow(history, prefix, start, AbortSignal.any([signal, this.#closed.signal]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    await this.#ticking;
    await this.#flushing;
    this.#db.close();
  }

  #find(key: string): Stored | undefined {
    const row = this.#sql.get.get({ key, now: this.#clock.now() });
    return row && toItem(row as unknown as Row);
  }

  #head(): number {
    return Number(this.#sql.head.get()?.head ?? 0);
  }

  /** Runs synchronous reads that belong together on one snapshot. */
  #reading<T>(work: () => T): T {
    this.#open();
    try {
      this.#db.exec("BEGIN");
      try {
        return work();
      } finally {
        this.#db.exec("COMMIT");
      }
    } catch (err) {
      throw asFault(err, this.#file);
    }
  }

  #open(): void {
    if (this.#closed.signal.aborted) throw new Fault("unreachable", "the storage is closed");
  }

  async #submit(ops: readonly Op[], check: () => void): Promise<Revision> {
    checkOps(ops);
    // The caller may reuse its buffers while the write waits its turn.
    const own = ops.map((op): Op => (op.type === "put" ? { ...op, item: copy(op.item) } : op));
    return this.#write(() => {
      check();
      return this.#apply(own);
    });
  }

  async #write(work: () => Revision): Promise<Revision> {
    this.#open();
    const { promise, resolve, reject } = Promise.withResolvers<Revision>();
    this.#jobs.push({ work, done: resolve, failed: reject });
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
    });
    return promise;
  }

  async #flush(): Promise<void> {
    // Whoever else writes at this moment comes along.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#jobs.length > 0) {
      const jobs = this.#jobs.splice(0, pageSize);
      try {
        const settle = await this.#transaction(jobs);
        for (const tell of settle) tell();
        this.#ring();
      } catch (err) {
        for (const job of jobs) job.failed(asFault(err, this.#file));
      }
    }
  }

  /** Commits what succeeds of `jobs`; returns what to tell their callers, which is only true once this has returned. */
  async #transaction(jobs: readonly Job[]): Promise<(() => void)[]> {
    await this.#begin();
    try {
      this.#sweep();
      const settle = jobs.map(({ work, done, failed }) => {
        try {
          const revision = work();
          return () => done(revision);
        } catch (err) {
          // A refusal touched nothing; anything else undoes the whole transaction.
          if (err instanceof Fault) return () => failed(err);
          throw err;
        }
      });
      this.#db.exec("COMMIT");
      return settle;
    } catch (err) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw err;
    }
  }

  /** Starts a write transaction, waiting while another process has one, without holding up this process. */
  async #begin(): Promise<void> {
    const until = this.#clock.now() + patience;
    while (true) {
      try {
        this.#db.exec("BEGIN IMMEDIATE");
        return;
      } catch (err) {
        if (!isBusy(err) || this.#clock.now() >= until) throw err;
      }
      await this.#clock.sleep(20);
    }
  }

  /** Only inside a write transaction. */
  #apply(ops: readonly Op[]): Revision {
    const time = this.#clock.now();
    for (const op of ops) {
      const key = keyOf(op);
      if (op.type === "put") {
        const { value } = op.item;
        const expires = op.item.expires === undefined ? null : Math.ceil(op.item.expires);
        const { lastInsertRowid: revision } = this.#sql.record.run({ time, key, value, expires });
        this.#sql.put.run({ key, value, expires, revision });
      } else if (this.#sql.delete.run({ key }).changes > 0) {
        this.#sql.record.run({ time, key, value: null, expires: null });
      }
    }
    return revisionAt(this.#head());
  }

  #sweep(): number {
    const gone = this.#sql.expired.all({ now: this.#clock.now() });
    this.#apply(gone.map(({ key }) => ({ type: "delete", key: String(key) })));
    return gone.length;
  }

  #changes(prefix: string, after: number): { changes: readonly Change[]; next: number } {
    const head = this.#head();
    const oldest = Number(this.#sql.oldest.get()?.position ?? head + 1);
    // Negated, so that NaN is refused too.
    if (!(after >= oldest - 1 && after <= head)) throw tooOld();
    const rows = this.#sql.changes.all({ after, head, from: prefix, to: endOf(prefix), limit: pageSize });
    const changes = rows.map((row): Change => {
      const { key, value, expires, position } = row as unknown as Row & { position: number };
      return value === null
        ? { type: "delete", key, revision: revisionAt(position) }
        : { type: "put", item: toItem({ key, value, expires, revision: position }) };
    });
    return { changes, next: rows.length < pageSize ? head : Number(rows.at(-1)?.position) };
  }

  #ring(): void {
    for (const ring of this.#listeners) ring();
  }

  /** Expires items, notices the writes of other processes, forgets old history. */
  async #tick(): Promise<void> {
    const { signal } = this.#closed;
    let version: unknown;
    while (!signal.aborted) {
      // Only the abort of our own signal rejects here.
      await this.#clock.sleep(tickEvery, signal, { background: true }).catch(() => {});
      if (signal.aborted) return;
      try {
        if (this.#sql.expired.get({ now: this.#clock.now() }) || this.#stale() !== undefined)
          await this.#write(() => this.#prune());
        const current = this.#sql.version.get()?.data_version;
        if (current !== version) this.#ring();
        version = current;
      } catch (err) {
        if (!signal.aborted) this.#log.warn("storage upkeep failed", { file: this.#file, err });
      }
    }
  }

  /** Up to where changes may be forgotten; undefined when it is not worth a write yet. */
  #stale(): number | undefined {
    const oldest = this.#sql.oldest.get();
    if (!oldest) return undefined;
    const head = this.#head();
    const now = this.#clock.now();
    // Half as much again, or a tenth as old again, so that pruning is not a write of its own every tick.
    const many = head - Number(oldest.position) >= 1.5 * this.#keep;
    const old = Number(oldest.time) < now - 1.1 * historyAge;
    if (!many && !old) return undefined;
    const recent = Number(this.#sql.recent.get({ time: now - historyAge })?.position ?? head + 1);
    return Math.max(recent - 1, head - this.#keep);
  }

  #prune(): Revision {
    const last = this.#stale();
    if (last !== undefined) this.#sql.forget.run({ last });
    return revisionAt(this.#head());
  }
}

interface Row {
  readonly key: string;
  readonly value: Uint8Array;
  readonly expires: number | null;
  readonly revision: number;
}

const toItem = ({ key, value, expires, revision }: Row): Stored => ({
  key,
  value,
  ...(expires === null ? {} : { expires }),
  revision: revisionAt(revision),
});

const copy = (item: Item): Item => ({ ...item, value: Uint8Array.from(item.value) });

/** Comes after every key under the prefix: keys do not contain U+10FFFF. */
const endOf = (prefix: string): string => `${prefix}\u{10FFFF}`;

type Statements = Record<keyof typeof statements, StatementSync>;

const statements = {
  get: "SELECT * FROM items WHERE key = :key AND (expires IS NULL OR expires > :now)",
  put: "INSERT OR REPLACE INTO items (key, value, expires, revision) VALUES (:key, :value, :expires, :revision)",
  delete: "DELETE FROM items WHERE key = :key",
  extend: "UPDATE items SET expires = :expires WHERE key = :key AND expires > :now AND expires < :expires",
  keys: "SELECT key FROM items WHERE key >= :from AND key < :to ORDER BY key",
  // One lower bound: of two SQLite looks up the first and reads up to the other, for each page anew.
  page: `SELECT * FROM items WHERE key >= max(:from, :first) AND key < :to
         AND (expires IS NULL OR expires > :now) ORDER BY key LIMIT :limit`,
  expired: "SELECT key FROM items WHERE expires <= :now ORDER BY expires",
  // The plus has SQLite look in the index of times, which has few that are over, and not in that of keys.
  over: "SELECT key FROM items WHERE expires <= :now AND +key >= :from AND +key < :to",
  record: "INSERT INTO changes (time, key, value, expires) VALUES (:time, :key, :value, :expires)",
  head: "SELECT seq AS head FROM sqlite_sequence WHERE name = 'changes'",
  oldest: "SELECT position, time FROM changes ORDER BY position LIMIT 1",
  recent: "SELECT position FROM changes WHERE time >= :time ORDER BY position LIMIT 1",
  changes: `SELECT position, key, value, expires FROM changes WHERE position > :after AND position <= :head
            AND key >= :from AND key < :to ORDER BY position LIMIT :limit`,
  forget: "DELETE FROM changes WHERE position <= :last",
  version: "PRAGMA data_version",
};

function prepare(db: DatabaseSync): Statements {
  const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)]);
  return Object.fromEntries(prepared) as Statements;
}
