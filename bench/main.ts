/** Ours beside stock OpenSSH on this machine, in turns; README.md says how to read it. */
import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { measureBulk } from "./bulk.ts";
import { measureEcho } from "./echo.ts";
import { measureExec } from "./exec.ts";
import { type Asked, type Figure, table } from "./figures.ts";
import { outcomes, outcomeTable } from "./goals.ts";
import { benchLogin } from "./login.ts";
import { measureMemory } from "./memory.ts";
import { measureNodes } from "./nodes.ts";
import { openSsh } from "./openssh.ts";
import { ours } from "./ours.ts";
import { measureRate } from "./rate.ts";
import { measureSftp } from "./sftp.ts";
import type { Side } from "./side.ts";
import { measureStart } from "./start.ts";
import { measureWan } from "./wan.ts";

const usage = `npm run bench -- [part ...] [--runs=N] [--mib=N] [--nodes=N] [--processes=N] [--json=FILE] [--only-openssh]
parts: exec bulk sftp echo rate memory nodes start wan; all of them when none is named`;

const parts: Record<string, (sides: readonly Side[], asked: Asked) => Promise<Figure[]>> = {
  start: measureStart,
  exec: measureExec,
  echo: measureEcho,
  rate: measureRate,
  bulk: measureBulk,
  sftp: measureSftp,
  memory: measureMemory,
  nodes: measureNodes,
  wan: measureWan,
};

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string" },
    mib: { type: "string" },
    nodes: { type: "string" },
    processes: { type: "string", default: "1" },
    json: { type: "string" },
    "only-openssh": { type: "boolean", default: false },
  },
});
const chosen = positionals.length > 0 ? positionals : Object.keys(parts);
const asked: Asked = {
  ...(flags.runs !== undefined && { runs: Number(flags.runs) }),
  ...(flags.mib !== undefined && { mebibytes: Number(flags.mib) }),
  ...(flags.nodes !== undefined && { nodes: Number(flags.nodes) }),
};
const counts = [...Object.values(asked), Number(flags.processes)];
if (chosen.some((name) => !(name in parts)) || counts.some((n) => !(n >= 1 && n % 1 === 0))) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => {}); // also before anything waits for it
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      process.exitCode = 130;
      stopped.reject(new Error(`stopped by ${signal}`));
    });
  }
  await bench(stopped.promise).catch((err: Error) => {
    console.error(process.exitCode === 130 ? err.message : err);
    process.exitCode ??= 1;
  });
}

/** `stopped` rejects to end it early. What a part has under way ends with the servers it talks to. */
async function bench(stopped: Promise<never>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const login = stack.use(await benchLogin());
  // Those that bring servers of their own, and compare them with nothing.
  const compared = chosen.some((part) => part !== "nodes" && part !== "start");
  const sides: Side[] = compared ? [stack.use(await openSsh(login))] : [];
  if (compared && !flags["only-openssh"])
    sides.push(...stack.use(await ours(login, Number(flags.processes))).sides);
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0], node: process.version };
  console.log(`${JSON.stringify({ ...machine, shell: login.shell })}\n`);
  const figures: Figure[] = [];
  for (const part of chosen) {
    const found = await Promise.race([parts[part]?.(sides, asked) ?? [], stopped]);
    console.log(`${table(found)}\n`);
    figures.push(...found);
  }
  const reached = outcomes(figures);
  if (reached.length > 0) console.log(outcomeTable(reached));
  if (flags.json !== undefined)
    await writeFile(flags.json, JSON.stringify({ machine, figures, goals: reached }, null, 2));
}
