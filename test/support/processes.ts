import { readdirSync, readFileSync } from "node:fs";

/** The pids of every process that `pid` started, directly or through others, and that is still its. Linux only; else none. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number[]>();
  for (const { pid: child, parent } of processes())
    parents.set(parent, [...(parents.get(parent) ?? []), child]);
  const found: number[] = [];
  for (const queue = [pid]; queue.length > 0; ) {
    const children = parents.get(queue.pop() as number) ?? [];
    found.push(...children);
    queue.push(...children);
  }
  return found;
}

/** Whether a process is there and runs: one that only waits to be collected does not. */
export function isAlive(pid: number): boolean {
  try {
    return statOf(String(pid)).state !== "Z";
  } catch {
    return false;
  }
}

function processes(): { pid: number; parent: number }[] {
  let names: string[];
  try {
    names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      return [{ pid: Number(name), parent: statOf(name).parent }];
    } catch {
      return []; // gone meanwhile
    }
  });
}

/** proc(5): the name in parentheses may hold anything, so what follows is read from the last of them on. */
function statOf(pid: string): { state: string; parent: number } {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  const [state = "", parent = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state, parent: Number(parent) };
}
