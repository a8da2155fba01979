import { Fault } from "#core/errors";
import type { Target } from "./target.ts";

/** Rejections that nobody waited for: an input that causes one breaks the contract too. */
export const stray: unknown[] = [];

/**
 * Runs one input and throws when the target breaks its contract: what comes out is a value or one of its faults, and what
 * is set aside for it is in proportion to its length. That it ends at all is the watch of who calls.
 */
export async function hold(target: Target, input: Uint8Array): Promise<void> {
  const before = process.memoryUsage().arrayBuffers;
  try {
    const ran = target.run(input);
    // Most decoders answer at once; waiting for them would cost more than they do.
    if (ran instanceof Promise) await ran;
  } catch (err) {
    if (!(err instanceof Fault) || !target.faults.includes(err.kind)) throw err;
  }
  const grown = process.memoryUsage().arrayBuffers - before;
  const allowed = 16 * input.length + target.slack;
  if (grown > allowed) throw new Error(`${grown} bytes were set aside for an input of ${input.length}`);
  if (stray.length > 0) throw stray.splice(0)[0];
}
