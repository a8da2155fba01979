import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import { type Spawner, trustedEnv } from "#helper";

/** A command that takes longer has failed: whatever it waits for, others do not wait for it. */
const timeLimit: Millis = 30 * second;
/** What still holds the output of a command that has ended, such as a child in the background, is not waited for. */
const drainLimit: Millis = second;
/** Labels travel with every record of this node and into every list. */
const outputLimit = 4096; // bytes
const shownOfFailure = 1024; // bytes

/**
 * What a label's command prints, trimmed; of one that cannot be started, fails, takes too long or prints too much
 * `<error> output: <output>` (SSH-50). Runs without a shell, as the user of this process, with its whole process group ended at
 * the time limit or when `signal` aborts. Never rejects.
 */
export async function labelOf(
  command: readonly string[],
  { spawner, clock }: { readonly spawner: Pick<Spawner, "start">; readonly clock: Clock },
  signal: AbortSignal,
): Promise<string> {
  const [file = "", ...args] = command;
  const held = new Output();
  const failed = (why: string): string => `${why} output: ${held.start(shownOfFailure)}`.trimEnd();
  try {
    const running = await spawner.start(file, args, trustedEnv, undefined);
    running.stdin.end();
    running.stderr.resume();
    const over = new AbortController();
    let why: string | undefined;
    const end = (reason: string): void => {
      why ??= reason;
      running.kill("SIGKILL");
    };
    const stop = (): void => end("the node is stopping,");
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const late = clock.sleep(timeLimit, over.signal, { background: true }).then(
      () => end(`it ran longer than ${timeLimit / second} s,`),
      () => {}, // it ended in time
    );
    const read = (async () => {
      for await (const chunk of running.stdout) {
        held.add(chunk);
        if (held.size > outputLimit) return end(`it printed more than ${outputLimit} bytes,`);
      }
    })().catch(() => {}); // closed below
    const exit = await running.exit;
    over.abort();
    signal.removeEventListener("abort", stop);
    await late;
    const drained = new AbortController();
    await Promise.race([read, clock.sleep(drainLimit, drained.signal, { background: true }).catch(() => {})]);
    drained.abort();
    running.stdout.destroy();
    running.stderr.destroy();
    if (why !== undefined) return failed(why);
    if ("signal" in exit) return failed(`ended by signal ${exit.signal}`);
    return exit.code === 0 ? held.start(outputLimit) : failed(`exit status ${exit.code}`);
  } catch (err) {
    return failed((err as Error).message);
  }
}

class Output {
  readonly #chunks: Uint8Array[] = [];
  size = 0;

  /** The chunk is the reader's only until the next. */
  add(chunk: Uint8Array): void {
    this.#chunks.push(Uint8Array.from(chunk));
    this.size += chunk.length;
  }

  start(bytes: number): string {
    return new TextDecoder().decode(Buffer.concat(this.#chunks).subarray(0, bytes)).trim();
  }
}
