import type { Change, Revision } from "./index.ts";

/** The history of a backend, read by position. Positions grow by one with each change. */
export interface History {
  /**
   * Up to about 256 changes under `prefix` after position `after`, and the position they reach to.
   * Throws `limit_exceeded` when changes after `after` are no longer kept.
   */
  read(prefix: string, after: number): { changes: readonly Change[]; next: number };
  /** Calls `ring` after each write until the returned function is called. */
  listen(ring: () => void): () => void;
}

/** Reads the history as it grows: a watcher is a position, so that a slow one costs nothing. */
export async function* follow(
  history: History,
  prefix: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<Change> {
  let bell = Promise.withResolvers<void>();
  const ring = (): void => bell.resolve();
  const forget = history.listen(ring);
  signal.addEventListener("abort", ring);
  try {
    let at = after;
    while (!signal.aborted) {
      const { changes, next } = history.read(prefix, at);
      for (const change of changes) {
        yield change;
        if (signal.aborted) return;
      }
      if (next === at) {
        await bell.promise;
        bell = Promise.withResolvers();
      }
      at = next;
    }
  } finally {
    forget();
    signal.removeEventListener("abort", ring);
  }
}

/** All changes after a position, and the position of the last. */
export function catchUp(
  { read }: Pick<History, "read">,
  prefix: string,
  after: number,
): { changes: readonly Change[]; next: number } {
  let page = read(prefix, after);
  const all = [...page.changes];
  for (let at = after; page.next !== at; all.push(...page.changes)) {
    at = page.next;
    page = read(prefix, at);
  }
  return { changes: all, next: page.next };
}

// 2^53 has 16 digits: padded, revisions compare as strings the way they do as numbers.
export const revisionAt = (position: number): Revision => String(position).padStart(16, "0") as Revision;

/** The position of a revision; NaN when it is not one of ours. */
export const positionOf = (revision: Revision): number =>
  /^\d{16}$/.test(revision) ? Number(revision) : Number.NaN;
