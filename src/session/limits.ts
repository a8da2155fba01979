import type { Clock, Millis } from "#core/clock";
import { formatDuration } from "#core/duration";

/** When the client last sent something that counts, by the clock's uptime. */
export interface Activity {
  touch(): void;
  readonly last: Millis;
}

export function activity(clock: Pick<Clock, "uptime">): Activity {
  let last = clock.uptime();
  return {
    touch() {
      last = clock.uptime();
    },
    get last() {
      return last;
    },
  };
}

/**
 * Resolves with the reason why a connection must end (SSH-08): no input for `idle`, or `expires` has come.
 * Undefined when `signal` aborts first, and when there is no limit.
 */
export async function untilLimit(
  limits: { readonly idle: Millis; readonly expires: Millis | undefined },
  seen: Activity,
  clock: Clock,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { idle, expires } = limits;
  while (!signal.aborted) {
    const now = clock.now();
    if (expires !== undefined && now >= expires) {
      return `client certificate expired at ${new Date(expires).toISOString()}`;
    }
    const silent = Math.round(clock.uptime() - seen.last);
    if (idle > 0 && silent >= idle) {
      return `client is idle for ${formatDuration(silent)}, exceeded idle timeout of ${formatDuration(idle)}`;
    }
    const next = Math.min(
      idle > 0 ? idle - silent : Number.POSITIVE_INFINITY,
      (expires ?? Number.POSITIVE_INFINITY) - now,
    );
    if (next === Number.POSITIVE_INFINITY) return undefined;
    await clock.sleep(next, signal, { background: true }).catch(() => {});
  }
  return undefined;
}
