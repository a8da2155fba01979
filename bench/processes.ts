import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** Of its own and of the ended children it waited for; clock ticks. */
  readonly ticks: number;
}

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * CPU seconds that these processes and all that came from them have used so far. Waits until they rest: what a process
 * used is known of its parent only when that has waited for its end.
 */
export async function cpuSeconds(roots: readonly number[]): Promise<number> {
  const now = (): number => tree(roots).reduce((sum, { ticks }) => sum + ticks, 0);
  for (let ticks = now(); ; ) {
    await setTimeout(250);
    const later = now();
    // A tick or two is what an idle daemon uses.
    if (Math.abs(later - ticks) <= 2) return later / ticksPerSecond;
    ticks = later;
  }
}

/** Memory of these processes and all that came from them, less programs named in `without`, in MiB. */
export function memory(roots: readonly number[], without: readonly string[]): { rss: number; pss: number } {
  const sum = { rss: 0, pss: 0 };
  for (const { pid } of tree(roots).filter(({ name }) => !without.includes(name))) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    sum.rss += kibibytes(rollup, "Rss") / 1024;
    sum.pss += kibibytes(rollup, "Pss") / 1024;
  }
  return sum;
}

function tree(roots: readonly number[]): Process[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap(read);
  const found = all.filter(({ pid }) => roots.includes(pid));
  // Grows while it is walked.
  for (const one of found) found.push(...all.filter(({ parent }) => parent === one.pid));
  return found;
}

function read(pid: string): Process[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc(5): the name may contain anything, so what comes behind it is found from the end.
    const behind = stat.lastIndexOf(")");
    const fields = stat
      .slice(behind + 2)
      .split(" ")
      .map(Number);
    const ticks = fields.slice(11, 15).reduce((a, b) => a + b, 0);
    return [
      { pid: Number(pid), parent: fields[1] ?? 0, name: stat.slice(stat.indexOf("(") + 1, behind), ticks },
    ];
  } catch {
    return []; // has just ended
  }
}

function kibibytes(rollup: string, key: string): number {
  return Number(new RegExp(`^${key}: +(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0);
}
