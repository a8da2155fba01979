import type { Millis } from "#core/clock";

export { type DriverContext, drivers, openBackend, type StorageConfig } from "./drivers.ts";
export { measured, type StorageMeter } from "./measured.ts";
export { MemoryBackend } from "./memory.ts";

export interface Item {
  /** 1 to 1024 UTF-8 bytes without control characters; by custom `/kind/name`. */
  readonly key: string;
  /** At most 256 KiB. */
  readonly value: Uint8Array;
  /** When the item goes away; absent means never. */
  readonly expires?: Millis;
}

/**
 * Version of a stored item, and a point in the history of the whole backend. Grows with every write: of two
 * revisions of one backend the later compares greater as a string.
 */
export type Revision = string & { readonly __revision: never };
export type Stored = Item & { readonly revision: Revision };

/** One step of the history. An item that expires is a `delete`. */
export type Change =
  | { readonly type: "put"; readonly item: Stored }
  | { readonly type: "delete"; readonly key: string; readonly revision: Revision };

/** One write of a commit. To delete a key that is not there is fine; say so in a condition if it is not. */
export type Op =
  | { readonly type: "put"; readonly item: Item }
  | { readonly type: "delete"; readonly key: string };

/** What must be so for a commit to happen: the key is at `revision`, or is `"absent"`. */
export interface Condition {
  readonly key: string;
  readonly revision: Revision | "absent";
}

/** A later end for an item. */
export interface Extension {
  readonly key: string;
  readonly expires: Millis;
}

/** Items in key order (by UTF-8 bytes). Every iteration reads anew. */
export interface Range extends AsyncIterable<Stored> {
  /**
   * Where to start a watch that together with this list loses nothing: take it before reading the items.
   * Items written while the list is read may be seen twice, in the list and by the watch, never not at all.
   */
  revision(): Promise<Revision>;
}

/** What has come about since a list was read: with it the list is what a new one would be, at no more cost than what changed. */
export interface News {
  /** Once and in order. */
  readonly changes: readonly Change[];
  /** Keys of items whose time is over and whose `delete` is still to come: no list has them. */
  readonly over: readonly string[];
  /** Where the next news begin. */
  readonly revision: Revision;
}

export interface RangeOptions {
  /** At most so many items; all by default. */
  readonly limit?: number;
  /** Only keys that come after this one: the last key of the page before. */
  readonly after?: string;
}

/**
 * Ordered, expiring, watchable key-value storage: everything the cluster remembers. A resolved write is on disk, where there
 * is one. Calls throw `bad_parameter` and `limit_exceeded` for keys and values out of bounds, `unreachable` when the
 * storage cannot be used now, `internal` when it cannot be used at all.
 */
export interface Backend extends AsyncDisposable {
  /** Throws `not_found`. */
  get(key: string): Promise<Stored>;
  /** Throws `already_exists`. */
  create(item: Item): Promise<Revision>;
  put(item: Item): Promise<Revision>;
  /** Throws `compare_failed` unless the stored item still has `revision`. */
  compareAndSwap(item: Item, revision: Revision): Promise<Revision>;
  /** Throws `not_found`. */
  delete(key: string): Promise<void>;
  deletePrefix(prefix: string): Promise<void>;
  /**
   * All of `ops`, or, when a condition does not hold, none: throws `compare_failed` with the key in its details.
   * At most 64 ops of 1 MiB in all, no key twice. Returns the revision after the last op.
   */
  commit(ops: readonly Op[], conditions?: readonly Condition[]): Promise<Revision>;
  /**
   * Lets items that end live longer, those of them that are there and would end earlier. This is no change: it has no revision
   * of its own, conditions and watches do not see it, and many at a time cost little. For what says again and again that it is alive.
   */
  extend(items: readonly Extension[]): Promise<void>;
  range(prefix: string, options?: RangeOptions): Range;
  /**
   * All that happened under `prefix` after the revision `after` and until now: every write that had resolved before this call is in
   * it. Throws `limit_exceeded` when `after` is older than the history kept: list again.
   */
  since(prefix: string, after: Revision): Promise<News>;
  /**
   * Every change under `prefix` after the revision `after` (from now on by default), once and in order. The watch stands when the
   * promise resolves; it ends when `signal` aborts or the backend is closed. Expiry arrives within a second of
   * its time. Throws `limit_exceeded` when `after`, or a reader that fell behind, is older than the history kept: list again.
   */
  watch(prefix: string, options: { after?: Revision; signal: AbortSignal }): Promise<AsyncIterable<Change>>;
}
