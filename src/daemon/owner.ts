import { readFile } from "node:fs/promises";
import type { Owner } from "#core/owner";

/**
 * This process as the owner of files. A process id alone is given again: the mark holds the time of its start too, and which
 * start of the machine that was (proc(5)).
 */
export async function processOwner(): Promise<Owner> {
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
  const markOf = async (pid: number): Promise<string> => `${pid} ${await startOf(pid)} ${boot}`;
  return {
    mark: await markOf(process.pid),
    async lives(mark) {
      const pid = Number(mark.trim().split(" ")[0]);
      if (!Number.isInteger(pid) || pid <= 0 || !isThere(pid)) return false;
      return (await markOf(pid)) === mark.trim();
    },
  };
}

/** In ticks since the machine's start; nothing where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name, in parentheses, may hold anything; the start is the 22nd field.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "EPERM";
  }
}
