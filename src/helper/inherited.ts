import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** open(2), as /proc shows it. */
const O_CLOEXEC = 0o2000000;

/**
 * Closes what this process got from its parent beyond descriptor `keep`: the pty library opens terminals without
 * close-on-exec, so every child of the daemon is born holding the terminals of other people's sessions.
 * Whatever Node opened for itself is close-on-exec and stays.
 */
export function closeInherited(keep: number): void {
  for (const entry of readdirSync("/proc/self/fd")) {
    const fd = Number(entry);
    if (fd <= keep) continue;
    try {
      const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "";
      const closesOnExec = (Number.parseInt(flags, 8) & O_CLOEXEC) !== 0;
      // Node marks some inherited ones at its start, so a terminal goes whatever its flags say.
      const terminal = /^\/dev\/(ptmx|pts\/)/.test(readlinkSync(`/proc/self/fd/${fd}`));
      if (!closesOnExec || terminal) closeSync(fd);
    } catch {
      // The descriptor of the listing itself is gone by now.
    }
  }
}
