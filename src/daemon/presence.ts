import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import type { Heartbeats } from "./health.ts";
import type { Heartbeat } from "./heartbeat.ts";

/** Between two keep-alives the whole record is told only now and then (OVW-34). */
const tellEvery: Millis = 5 * minute;
const retryAfter: Millis = 5 * second;

/** A member's place in the cluster's lists. */
export interface Presence extends Service {
  /** The record is another than was told: it is told again at once. */
  changed(): void;
}

/**
 * Keeps a member in the cluster's lists: announces its record at the start, when it has changed, when auth has lost it and
 * every five minutes, and takes it out when it takes nothing new any more. That it is alive in between says the heartbeat.
 * Ready once the first announcement was taken.
 */
export function presence(parts: {
  readonly kind: "node" | "proxy";
  readonly announce: () => Promise<void>;
  readonly remove: () => Promise<void>;
  readonly heartbeat: Pick<Heartbeat, "there" | "gone">;
  readonly heartbeats: Heartbeats;
  /** The record is another process's from the moment that this one is replaced. */
  readonly leaving: Leaving;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}): Presence {
  const { kind, heartbeat, heartbeats, leaving, clock, random, log } = parts;
  const jittered = (span: Millis): Millis => span * (0.9 + 0.2 * random.fraction());
  let stale = true;
  let wake = new AbortController();
  const changed = (): void => {
    stale = true;
    wake.abort();
  };
  return {
    name: `${kind} presence`,
    changed,
    async run(end, ready) {
      const signal = AbortSignal.any([end, leaving.begun]);
      let there = false;
      while (!signal.aborted) {
        wake = new AbortController();
        stale = false;
        let again = tellEvery;
        try {
          await parts.announce();
          if (!there) log.info("announced to the cluster");
          there = true;
          heartbeat.there(kind, { lost: changed, heartbeats });
          heartbeats.good();
          ready();
        } catch (err) {
          again = retryAfter;
          heartbeats.lost();
          log.warn("could not tell the auth server that we are here", { error: (err as Error).message });
        }
        if (!stale)
          await clock.sleep(jittered(again), AbortSignal.any([signal, wake.signal])).catch(() => {});
      }
      heartbeat.gone(kind);
      if (there && !leaving.replaced) await parts.remove().catch(() => {});
    },
  };
}
