import { createHash, randomInt } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { hold } from "./contract.ts";
import { targets } from "./targets.ts";
import { Watch } from "./watch.ts";
import type { WorkerInput, WorkerSays } from "./worker.ts";

/** No input may take longer, in milliseconds. Far above what any does on a busy machine. */
const patience = 10_000;
/** Findings after which there is enough to do. */
const enough = 20;
const folder = join(import.meta.dirname, "regressions");

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    target: { type: "string", multiple: true, default: [] },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    input: { type: "string" },
  },
});
const print = (line: string): void => void process.stdout.write(`${line}\n`);

const known = targets.map(({ name }) => name);
for (const name of values.target) {
  if (known.includes(name)) continue;
  print(`there is no target ${name}; there are ${known.join(", ")}`);
  process.exit(2);
}
process.exitCode = values.input === undefined ? await run() : await repeat(values.input);

/** Runs one file again, here, where a debugger sees it. */
async function repeat(path: string): Promise<number> {
  for (const target of targets.filter(({ name }) => values.target.includes(name))) {
    await hold(target, readFileSync(path));
    print(`${target.name} keeps its contract with ${path}`);
  }
  return 0;
}

/** A finding becomes a file, which `test/fuzz.test.ts` runs from then on. Answers its path. */
function keep(target: number, input: Uint8Array): string {
  const name = targets[target]?.name ?? "unknown";
  const hash = createHash("sha256").update(input).digest("hex").slice(0, 12);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.${hash}`);
  writeFileSync(path, input);
  return relative(process.cwd(), path);
}

async function run(): Promise<number> {
  const seconds = Number(values.seconds);
  const seed = Number(values.seed);
  const watch = new Watch();
  print(`${seconds} s, seed ${seed}`);
  const workerData: WorkerInput = { memory: watch.memory, names: values.target, seconds, seed };
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 1024 },
  });
  const told = new Set<string>();
  const report = (target: number, input: Uint8Array, error: string): void => {
    // One bug is found thousands of times: by its kind and place it is one.
    const [said = "", ...stack] = error.split("\n").slice(0, 4);
    const place = [said.replace(/-?\d+/g, "N"), ...stack].join("\n");
    if (told.has(place)) return;
    told.add(place);
    const path = keep(target, input);
    print(
      `\n${targets[target]?.name}: ${error}\n  npm run fuzz -- --target=${targets[target]?.name} --input=${path}`,
    );
    if (told.size >= enough) void worker.terminate();
  };
  worker.on("message", (said: WorkerSays) => {
    if (said.kind === "found") report(said.target, said.input, said.error);
    else for (const line of said.lines) print(line);
  });
  worker.on("error", (err) => report(watch.target, watch.input, `the process would have ended: ${err}`));
  let count = -1;
  const watching = setInterval(() => {
    // Between two looks at least one input must have come to its end.
    if (watch.count === count && count > 0) {
      report(watch.target, watch.input, `no end after ${patience / 1000} s`);
      void worker.terminate();
    }
    count = watch.count;
  }, patience);
  await new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  clearInterval(watching);
  print(told.size === 0 ? "nothing found" : `${told.size} found`);
  return told.size === 0 ? 0 : 1;
}
