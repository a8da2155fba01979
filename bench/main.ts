/**
 * Ours beside stock OpenSSH on this machine, in turns. See README.md.
 * `npm run bench -- [exec] [bulk] [echo] [rate] [memory] [start] [--runs=N] [--json=FILE] [--only-openssh]`
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { measureBulk } from "./bulk.ts";
import { measureEcho } from "./echo.ts";
import { measureExec } from "./exec.ts";
import { type Figure, table } from "./figures.ts";
import { benchLogin } from "./login.ts";
import { measureMemory } from "./memory.ts";
import { openSsh } from "./openssh.ts";
import { ours } from "./ours.ts";
import { measureRate } from "./rate.ts";
import type { Side } from "./side.ts";
import { measureStart } from "./start.ts";

type Part = (sides: readonly Side[], runs: number) => Promise<Figure[]>;
const parts: Record<string, { readonly measure: Part; readonly runs: number }> = {
  exec: { measure: measureExec, runs: 11 },
  bulk: { measure: measureBulk, runs: 3 },
  echo: { measure: measureEcho, runs: 3 },
  rate: { measure: measureRate, runs: 3 },
  memory: { measure: measureMemory, runs: 1 },
  start: { measure: (_sides, runs) => measureStart(runs), runs: 10 },
};
