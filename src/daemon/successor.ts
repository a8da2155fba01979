import { type Clock, type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { end, startAgain } from "./again.ts";
import type { Inherited } from "./listeners.ts";
import type { OwnProcess } from "./own-process.ts";

/** A new process that is not ready by then is not what the operator wants to be left with. */
const patience: Millis = 2 * minute;

/**
 * Starts the daemon's command once more, with its listening sockets, and resolves with the pid of the new process when that
 * serves. Rejects when it ends first or takes too long; it is gone then.
 */
export async function startSuccessor(
  own: OwnProcess,
  sockets: readonly Inherited[],
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const ready = Promise.withResolvers<undefined>();
  const again = startAgain(own, sockets, {
    onMessage: (message) => "ready" in message && ready.resolve(undefined),
  });
  const over = new AbortController();
  const late = clock.sleep(patience, AbortSignal.any([signal, over.signal])).then(
    () => `it was not ready after ${patience / minute} minutes`,
    () => "this process was told to stop",
  );
  const problem = await Promise.race([ready.promise, again.ended, late]);
  over.abort();
  const { child } = again;
  if (problem === undefined && child.pid !== undefined) {
    // It goes its own way from here.
    child.disconnect();
    child.unref();
    return child.pid;
  }
  await end(again, clock);
  throw new Fault("unreachable", problem ?? "it has no process id");
}
