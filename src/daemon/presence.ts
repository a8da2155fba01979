import { aborted } from "#core/aborted";
import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import type { Node, ProxyServer } from "#model";
import type { Heartbeats } from "./health.ts";
import type { Heartbeat } from "./heartbeat.ts";

const retryAfter: Millis = 5 * second;

/** A member's place in the cluster's lists. */
export interface Presence extends Service {
  /** The record is another than was told: it is told again at once. */
  changed(): void;
}

/**
 * Keeps a member in the cluster's lists: announces its record at the start, when it has changed and when auth has lost it, and
 * takes it out when it takes nothing new any more. That it is alive, and what its record is, says the heartbeat in between.
 * Ready once the first announcement was taken.
 */
export function presence<R extends Node | ProxyServer>(parts: {
  readonly kind: R["kind"];
  readonly record: () => R;
  readonly announce: (record: R) => Promise<void>;
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
        let failed = false;
        try {
          const record = parts.record();
          await parts.announce(record);
          if (!there) log.info("announced to the cluster");
          there = true;
          heartbeat.there(kind, { record, lost: changed, heartbeats });
          heartbeats.good();
          ready();
        } catch (err) {
          failed = true;
          heartbeats.lost();
          log.warn("could not tell the auth server that we are here", { error: (err as Error).message });
        }
        if (stale) continue;
        const woken = AbortSignal.any([signal, wake.signal]);
        if (failed) await clock.sleep(jittered(retryAfter), woken).catch(() => {});
        else await aborted(woken);
      }
      heartbeat.gone(kind);
      if (there && !leaving.replaced) await parts.remove().catch(() => {});
    },
  };
}
