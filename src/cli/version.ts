import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

// Read at once: these are a few bytes at the start of a command, and Node's threads for files take ten milliseconds to begin.

/** Of this program, e.g. `5.0.0`. */
export const productVersion = (): string => packageFile().version;

/** A release carries its commit; a checkout has git's. */
const packageFile = (): { version: string; commit?: string } =>
  JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** `Teleport v<semver> git:<commit> <runtime>` (CLI-03). */
export function versionLine(): string {
  const { version, commit = commitOf(root) } = packageFile();
  return `Teleport v${version} git:${commit ?? "unknown"} node${process.versions.node}`;
}

/** The first digits of the commit that is checked out in `folder`, without asking git, which may not be installed. */
export function commitOf(folder: string): string | undefined {
  // In a worktree `.git` is a file that names the folder, and that folder names the one with the branches.
  const pointed = /^gitdir: (.+)$/.exec(read(join(folder, ".git")) ?? "")?.[1];
  const git = resolve(folder, pointed ?? ".git");
  const head = read(join(git, "HEAD"));
  const branch = /^ref: (.+)$/.exec(head ?? "")?.[1];
  if (!branch) return head?.slice(0, 12);
  const common = resolve(git, read(join(git, "commondir")) ?? ".");
  const packed = (): string | undefined =>
    read(join(common, "packed-refs"))
      ?.split("\n")
      .find((line) => line.endsWith(` ${branch}`))
      ?.split(" ")[0];
  return (read(join(common, branch)) ?? packed())?.slice(0, 12);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
