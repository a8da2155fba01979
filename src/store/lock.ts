import type { Backend } from "#backend";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { encode } from "./record.ts";

/** After this a lock whose holder died is free: so long may a start wait for one that was killed. */
const holdTime: Millis = 10 * second;
/** How often a living holder says that it still is. */
const renewEvery: Millis = 3 * second;
const retryAfter: Millis = 200;

/** Runs `work` while no other process of the cluster runs anything under the same name. */
export async function withLock<T>(
  parts: { backend: Backend; clock: Clock; signal?: AbortSignal },
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const { backend, clock, signal } = parts;
  const key = `/locks/${name}`;
  let revision = await take();
  const over = new AbortController();
  const renewed = renew();
  try {
    return await work();
  } finally {
    over.abort();
    await renewed;
    // Only our own: after a long stop someone else may hold it by now.
    await backend.commit([{ type: "delete", key }], [{ key, revision }]).catch((err: unknown) => {
      if (!Fault.is(err, "compare_failed")) throw err;
    });
  }

  function item() {
    return { key, value: encode({}), expires: clock.now() + holdTime };
  }

  async function take() {
    while (true) {
      try {
        return await backend.create(item());
      } catch (err) {
        if (!Fault.is(err, "already_exists")) throw err;
        await clock.sleep(retryAfter, signal);
      }
    }
  }

  async function renew(): Promise<void> {
    while (true) {
      try {
        await clock.sleep(renewEvery, over.signal, { background: true });
      } catch {
        return;
      }
      try {
        revision = await backend.compareAndSwap(item(), revision);
      } catch (err) {
        // Lost to another after a long stop. Anything else may pass before the time is over.
        if (Fault.is(err, "compare_failed") || Fault.is(err, "not_found")) return;
      }
    }
  }
}
