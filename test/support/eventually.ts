import { setTimeout } from "node:timers/promises";

/**
 * The first answer of `look` that is neither undefined nor false, asked for again and again: for what shows nowhere but in
 * another process's answers. Throws after `timeout` milliseconds (default 20 s) what the last look threw, or what `what` says.
 * `every` is the time between two looks in milliseconds, for looks that cost something.
 */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  { timeout = 20_000, every = 50 } = {},
): Promise<T> {
  const late = performance.now() + timeout;
  for (;;) {
    let trouble: unknown = new Error(`${timeout} ms went by without: ${what}`);
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (err) {
      trouble = err;
    }
    if (performance.now() > late) throw trouble;
    await setTimeout(every);
  }
}
