import { readFileSync } from "node:fs";

/**
 * A name for a process that no other will ever have on this machine: its id, when it started (ticks since the boot, proc(5)),
 * and the boot. Where there is no /proc it is the id alone.
 */
export function markOf(pid: number): string {
  return [pid, startOf(pid), boot()].filter((part) => part !== undefined).join("-");
}

export const ownMark = (): string => markOf(process.pid);

/** Whether the process with that mark runs. */
export function isRunning(mark: string): boolean {
  const pid = Number(/^\d+/.exec(mark)?.[0]);
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return markOf(pid) === mark;
}

function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may hold anything; behind it comes the third field, and the 22nd is meant.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function boot(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
  } catch {
    return undefined;
  }
}
