import type { Clock, Millis } from "#core/clock";
import type { Fault } from "#core/errors";

/** Runs `run` with a signal that aborts with `signal`, or when `run` has not settled within `limit`: then with `late`. */
export async function within<T>(
  limit: Millis,
  late: Fault,
  clock: Clock,
  signal: AbortSignal,
  run: (bounded: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const done = new AbortController();
  clock.sleep(limit, done.signal, { background: true }).then(
    () => deadline.abort(late),
    () => {}, // settled in time
  );
  try {
    return await run(AbortSignal.any([signal, deadline.signal]));
  } finally {
    done.abort();
  }
}
