import { type Clock, hour, type Millis, minute, second } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import type { Log } from "#core/log";
import type { Random } from "#core/random";

/** How long to wait after the first failure, and at most: it doubles. */
interface Patience {
  readonly first: Millis;
  readonly most: Millis;
}
/** Whoever is away comes back, and is not to be waited for much longer then. */
const away: Patience = { first: 5 * second, most: 5 * minute };
/** Who was refused is refused until somebody does something about it, and the other cluster may count such attempts (AUTH-40). */
const refused: Patience = { first: 5 * minute, most: hour };
const refusals: ReadonlySet<FaultKind> = new Set(["access_denied", "bad_parameter", "already_exists"]);

/** What the work of `insist` tells of what went wrong. */
export interface Telling {
  /** Says in the log why something could not be done, each reason once. */
  readonly warn: (why: string) => void;
  /** Whether an event of this reason was not kept before. */
  readonly isNews: (why: string) => boolean;
}

/**
 * Does `work`, which the file's `key` asks for, until it succeeds or `signal` aborts, and tells of what it throws. Between attempts
 * it waits longer and longer, and never the same time as others that failed with it.
 */
export async function insist(
  { clock, random, log, signal }: { clock: Clock; random: Random; log: Log; signal: AbortSignal },
  key: string,
  work: (telling: Telling) => Promise<void>,
): Promise<void> {
  const logged = new Set<string>();
  const kept = new Set<string>();
  const telling: Telling = {
    warn: (why) => {
      if (isFirst(logged, why))
        log.warn("what the file says of other clusters is not all done", { key, why });
    },
    isNews: (why) => isFirst(kept, why),
  };
  let wait = 0;
  let last: Patience | undefined;
  while (!signal.aborted) {
    try {
      return await work(telling);
    } catch (err) {
      if (signal.aborted) return;
      telling.warn(err instanceof Fault ? err.message : `internal error: ${String(err)}`);
      const patience = err instanceof Fault && refusals.has(err.kind) ? refused : away;
      wait = patience === last ? Math.min(2 * wait, patience.most) : patience.first;
      last = patience;
    }
    await clock.sleep(wait * (0.5 + random.fraction() / 2), signal, { background: true }).catch(() => {});
  }
}

/** Times and counts in a reason do not make another one of it. */
function isFirst(seen: Set<string>, why: string): boolean {
  const reason = why.replace(/\d+/g, "#");
  if (seen.has(reason)) return false;
  seen.add(reason);
  return true;
}
