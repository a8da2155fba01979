import { parentPort, workerData } from "node:worker_threads";
import { hold, stray } from "./contract.ts";
import { Coverage } from "./coverage.ts";
import { mutate } from "./mutate.ts";
import { randomOf } from "./random.ts";
import { targets } from "./targets.ts";
import { Watch } from "./watch.ts";

export interface WorkerInput {
  readonly memory: SharedArrayBuffer;
  readonly names: readonly string[];
  readonly seconds: number;
  readonly seed: number;
}
export type WorkerSays =
  | { readonly kind: "found"; readonly target: number; readonly input: Uint8Array; readonly error: string }
  | { readonly kind: "progress"; readonly lines: readonly string[] };

const { memory, names, seconds, seed } = workerData as WorkerInput;
const watch = new Watch(memory);
const random = randomOf(seed);
const say = (what: WorkerSays): void => parentPort?.postMessage(what);
process.on("unhandledRejection", (reason) => stray.push(reason));
process.on("uncaughtException", (err) => stray.push(err));

/** Time in milliseconds between two looks at the coverage, each of which costs as much as many inputs. */
const between = 50;
/** How long one target has its turn: all of them come round four times at least. */
const turn = Math.min(1000, (seconds * 1000) / (names.length || targets.length) / 4);

interface Run {
  readonly index: number;
  readonly corpus: Uint8Array[];
  inputs: number;
}

/** False when the target broke its contract: it is told, and the input is not kept. */
async function one(run: Run, input: Uint8Array): Promise<boolean> {
  const target = targets[run.index];
  if (!target) return false;
  watch.begin(run.index, input);
  run.inputs++;
  try {
    await hold(target, input);
    return true;
  } catch (err) {
    const error = err instanceof Error ? (err.stack ?? err.message) : String(err);
    say({ kind: "found", target: run.index, input, error });
    return false;
  }
}

async function turnOf(run: Run, coverage: Coverage): Promise<void> {
  for (const end = performance.now() + turn; performance.now() < end; ) {
    const tried: Uint8Array[] = [];
    for (const look = performance.now() + between; performance.now() < look; ) {
      // What was found last leads on most often.
      const recent = random.below(2) === 0 ? run.corpus.slice(-16) : run.corpus;
      const input = mutate(random.of(recent), random.of(run.corpus), random);
      if (await one(run, input)) tried.push(input);
    }
    if (coverage.take(false) > 0) await locate(run, coverage, tried, end);
  }
}

/** Keeps those of `inputs` that reach something new, by halves: most do not. */
async function locate(
  run: Run,
  coverage: Coverage,
  inputs: readonly Uint8Array[],
  end: number,
): Promise<void> {
  if (inputs.length === 0 || performance.now() > end) return;
  for (const input of inputs) await one(run, input);
  if (coverage.take(inputs.length === 1) === 0) return;
  if (inputs.length === 1) run.corpus.push(...inputs);
  else {
    const middle = inputs.length >> 1;
    await locate(run, coverage, inputs.slice(0, middle), end);
    await locate(run, coverage, inputs.slice(middle), end);
  }
}

const runs: Run[] = [];
for (const [index, target] of targets.entries()) {
  if (names.length > 0 && !names.includes(target.name)) continue;
  runs.push({ index, corpus: [...(await target.seeds())], inputs: 0 });
}
using coverage = new Coverage("/src/ssh/");
for (const run of runs) {
  for (const input of run.corpus) await one(run, input);
  coverage.take(true);
}
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  for (const run of runs) {
    await turnOf(run, coverage);
    if (performance.now() >= end) break;
  }
}
say({
  kind: "progress",
  lines: [
    ...runs.map(
      ({ index, inputs, corpus }) =>
        `${targets[index]?.name.padEnd(20)} ${String(inputs).padStart(9)} inputs ${String(corpus.length).padStart(6)} kept`,
    ),
    `${coverage.size} blocks and counts reached`,
  ],
});
