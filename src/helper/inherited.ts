import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

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
      const closesOnExec = /^flags:\s*0?2\d{6}$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
      // Node marks some inherited ones at its start, so a terminal goes whatever its flags say.
      const terminal = /^\/dev\/(ptmx|pts\/)/.test(readlinkSync(`/proc/self/fd/${fd}`));
      if (!closesOnExec || terminal) closeSync(fd);
    } catch {
      // The descriptor of the listing itself is gone by now.
    }
  }
}
