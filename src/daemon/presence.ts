import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";
import type { Leaving } from "#core/leaving";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import type { Service } from "#core/service";

/** A member says that it is there every 5 s, give or take a tenth, and tells the whole record now and then (OVW-34). */
const aliveEvery: Millis = 5 * second;
const tellEvery: Millis = 5 * minute;

/**
 * Keeps a member in the cluster's lists: announces it at the start, keeps it alive, and takes it out when it takes
 * nothing new any more.
 * Ready once the first announcement was taken.
 */
export function presence(parts: {
  readonly name: string;
  readonly announce: () => Promise<void>;
  readonly alive: () => Promise<void>;
  readonly remove: () => Promise<void>;
  /** The record is another process's from the moment that this one is replaced. */
  readonly leaving: Leaving;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}): Service {
  const { clock, random, log, leaving } = parts;
  return {
    name: parts.name,
    async run(end, ready) {
      const signal = AbortSignal.any([end, leaving.begun]);
      let told = Number.NEGATIVE_INFINITY;
      let there = false;
      while (!signal.aborted) {
        try {
          if (!there || clock.now() - told >= tellEvery) {
            await parts.announce();
            told = clock.now();
          } else await parts.alive();
          if (!there) log.info("announced to the cluster");
          there = true;
          ready();
        } catch (err) {
          // Whatever was lost, the whole record goes out next.
          there = false;
          log.warn("could not reach the auth server to say that we are here", {
            error: (err as Error).message,
          });
        }
        await clock.sleep(aliveEvery * (0.9 + 0.2 * random.fraction()), signal).catch(() => {});
      }
      if (there && !leaving.replaced) await parts.remove().catch(() => {});
    },
  };
}
