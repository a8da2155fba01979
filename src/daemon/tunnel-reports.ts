import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { aborted } from "#core/aborted";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";

/** What of a tunnel is reported: to which cluster it leads, and when that was last heard, by the process's own clock. */
interface Heard {
  readonly cluster: string;
  readonly heard: Millis;
}

/** Auth may be away: it is told as soon as it answers. */
const tryAgain: Millis = 5 * second;

/**
 * Tells auth which remote clusters this proxy hears of by its tunnels, and which not any more, so that all proxies, and administrators,
 * know how they stand (TUN-05).
 */
export function tunnelReports(parts: {
  readonly tunnels: () => readonly Heard[];
  /** Calls back when a tunnel has come, was heard, or has gone. */
  readonly onChange: (listener: () => void) => () => void;
  readonly client: Pick<Client<AuthContract>, "remote_clusters.tunnel">;
  readonly clock: Clock;
  readonly log: Log;
}): Service {
  const { client, clock, log } = parts;
  /** What auth was told last. */
  const told = new Map<string, Millis>();
  let changed = new AbortController();

  const wanted = (): Map<string, Millis> => {
    const latest = new Map<string, Millis>();
    for (const { cluster, heard } of parts.tunnels())
      latest.set(cluster, Math.max(heard, latest.get(cluster) ?? heard));
    return latest;
  };
  const tell = async (name: string, connected: boolean, signal: AbortSignal): Promise<void> => {
    try {
      await client["remote_clusters.tunnel"]({ name, connected }, signal);
    } catch (err) {
      // The link was removed meanwhile, and its tunnels are about to end.
      if (!Fault.is(err, "not_found")) throw err;
    }
  };
  const report = async (signal: AbortSignal): Promise<void> => {
    const now = wanted();
    for (const [name, heard] of now) {
      if (told.get(name) === heard) continue;
      await tell(name, true, signal);
      told.set(name, heard);
    }
    for (const name of [...told.keys()].filter((one) => !now.has(one))) {
      await tell(name, false, signal);
      told.delete(name);
    }
  };

  return {
    name: "tunnel reports",
    async run(signal, ready) {
      const leave = parts.onChange(() => changed.abort());
      ready();
      while (!signal.aborted) {
        changed = new AbortController();
        try {
          await report(signal);
          await aborted(AbortSignal.any([signal, changed.signal]));
        } catch (err) {
          if (signal.aborted) break;
          log.debug("a tunnel was not reported", { error: (err as Error).message });
          await clock.sleep(tryAgain, signal, { background: true }).catch(() => {});
        }
      }
      leave();
    },
  };
}
