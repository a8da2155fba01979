import type { Backend } from "#backend";
import { type Clock, type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { encode } from "./record.ts";

/** After this a lock whose holder died is free. Nothing done under a lock takes nearly as long. */
const longestHold: Millis = 1 * minute;
const retryAfter: Millis = 200;

/** Runs `work` while no other process of the cluster runs anything under the same name. */
export async function withLock<T>(
  parts: { backend: Backend; clock: Clock; signal?: AbortSignal },
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const { backend, clock, signal } = parts;
  const key = `/locks/${name}`;
  const revision = await take();
  try {
    return await work();
  } finally {
    // Only our own: after a long stop someone else may hold it by now.
    await backend.commit([{ type: "delete", key }], [{ key, revision }]).catch((err: unknown) => {
      if (!Fault.is(err, "compare_failed")) throw err;
    });
  }

  async function take() {
    while (true) {
      try {
        return await backend.create({ key, value: encode({}), expires: clock.now() + longestHold });
      } catch (err) {
        if (!Fault.is(err, "already_exists")) throw err;
        await clock.sleep(retryAfter, signal);
      }
    }
  }
}
