import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** Clock ticks of CPU that it used itself. */
  readonly ticks: number;
}

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * CPU seconds that these processes, and all that come from them, use while `work` runs. They are looked at all the time,
 * since what a process used is lost with it when nobody waits for its end, as with sshd's process for a session.
 */
export async function cpuDuring(roots: readonly number[], work: () => Promise<void>): Promise<number> {
  const used = new Map<number, { from: number; to: number }>();
  const look = (): void => {
    for (const { pid, ticks } of tree(roots)) {
      const known = used.get(pid);
      if (known) known.to = ticks;
      else used.set(pid, { from: started ? 0 : ticks, to: ticks });
    }
  };
  let started = false;
  look();
  started = true;
  const timer = setInterval(look, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  look();
  return [...used.values()].reduce((sum, { from, to }) => sum + to - from, 0) / ticksPerSecond;
}

/** Memory of these processes and all that came from them, less programs named in `without`, in MiB. */
export function memory(roots: readonly number[], without: readonly string[]): { rss: number; pss: number } {
  const sum = { rss: 0, pss: 0 };
  for (const { pid } of tree(roots).filter(({ name }) => !without.includes(name))) {
    const rollup = readRollup(pid);
    sum.rss += kibibytes(rollup, "Rss") / 1024;
    sum.pss += kibibytes(rollup, "Pss") / 1024;
  }
  return sum;
}

function readRollup(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  } catch {
    return ""; // has just ended
  }
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
    const ticks = (fields[11] ?? 0) + (fields[12] ?? 0);
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
