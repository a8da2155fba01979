import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where a program is, looked for in PATH and in the folders of system programs. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(executable);
}

/** For `skip` of a test or suite: why it cannot run on this machine, false when it can. */
export function skipUnless(...programs: string[]): string | false {
  const missing = programs.filter((name) => findProgram(name) === undefined);
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}

export const asRoot: boolean = process.getuid?.() === 0;

/** For `skip`: why a test may not have a file system of its own here, false when it may. */
export function noMounts(): string | false {
  if (!asRoot) return "needs root";
  const missing = skipUnless("unshare", "mount");
  if (missing) return missing;
  const probe = spawnSync("unshare", ["--mount", "sh", "-c", "mount -t tmpfs none /mnt && chroot / true"]);
  return probe.status === 0 ? false : "no mount namespaces here";
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
