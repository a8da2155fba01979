import type { Clock, Millis } from "#core/clock";

/**
 * A taker of texts that works on one at a time and begins at most once in `gap`: of those that come meanwhile only the last counts.
 * For what the other end may say as often as it likes. `work` must not reject; nothing is begun after `signal`.
 */
export function latest(
  work: (text: string) => Promise<void>,
  { clock, gap, signal }: { readonly clock: Clock; readonly gap: Millis; readonly signal: AbortSignal },
): (text: string) => void {
  let waiting: string | undefined;
  let isBusy = false;
  const run = async (): Promise<void> => {
    isBusy = true;
    while (waiting !== undefined && !signal.aborted) {
      const text = waiting;
      waiting = undefined;
      await work(text);
      await clock.sleep(gap, signal, { background: true }).catch(() => {});
    }
    isBusy = false;
  };
  return (text) => {
    waiting = text;
    if (!isBusy) void run();
  };
}
