import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import type { Recorder } from "./recorder.ts";

/** Programs that outlive the one they were started by may hold its output open; so long may they be silent (SSH-16). */
const patience: Millis = 5 * second;

/** One direction of output on its way to the client. */
export interface Pump {
  /** Resolves when the output has ended, or can no longer be sent. */
  readonly done: Promise<void>;
  /** Bytes that were sent. */
  readonly sent: number;
  /** Whether it waits for the client, not for output. */
  readonly sending: boolean;
}

/** Shows each chunk: records it, then sends it. A client that is gone does not end the reading. */
export function pump(
  output: AsyncIterable<Uint8Array>,
  recorder: Recorder,
  send: (chunk: Uint8Array) => Promise<void>,
): Pump {
  const state = { sent: 0, sending: false };
  const done = (async () => {
    for await (const chunk of output) {
      state.sending = true;
      await recorder.output(chunk);
      await send(chunk);
      state.sending = false;
      state.sent += chunk.length;
    }
  })().catch(() => {});
  return {
    done,
    get sent() {
      return state.sent;
    },
    get sending() {
      return state.sending;
    },
  };
}

/**
 * After a program has ended: resolves when its output is all sent, or when for `patience` nothing more came although the
 * client could have had it. A slow client is waited for, else its copy would be cut off under an exit code of 0.
 * With `once` the patience does not start anew with each byte.
 */
export async function drained(pumps: readonly Pump[], clock: Clock, { once = false } = {}): Promise<void> {
  const all = Promise.all(pumps.map((p) => p.done)).then(() => "ended" as const);
  const total = (): number => pumps.reduce((sum, p) => sum + p.sent, 0);
  while (true) {
    const before = total();
    const stop = new AbortController();
    const waited = clock.sleep(patience, stop.signal).then(
      () => "waited" as const,
      () => "ended" as const,
    );
    const what = await Promise.race([all, waited]);
    stop.abort();
    if (what === "ended") return;
    if (pumps.some((p) => p.sending)) continue;
    if (once || total() === before) return;
  }
}
