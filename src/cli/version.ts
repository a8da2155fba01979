import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Of this program, e.g. `5.0.0`. */
export async function productVersion(): Promise<string> {
  return (await packageFile()).version;
}

/** A release carries its commit; a checkout has git's. */
async function packageFile(): Promise<{ version: string; commit?: string }> {
  return JSON.parse(await readFile(join(root, "package.json"), "utf8"));
}

/** `Teleport v<semver> git:<commit> <runtime>` (CLI-03). */
export async function versionLine(): Promise<string> {
  const { version, commit = await commitOf(root) } = await packageFile();
  return `Teleport v${version} git:${commit ?? "unknown"} node${process.versions.node}`;
}

/** The first digits of the commit that is checked out in `folder`, without asking git, which may not be installed. */
export async function commitOf(folder: string): Promise<string | undefined> {
  const read = (path: string): Promise<string | undefined> =>
    readFile(path, "utf8").then(
      (text) => text.trim(),
      () => undefined,
    );
  // In a worktree `.git` is a file that names the folder, and that folder names the one with the branches.
  const pointed = /^gitdir: (.+)$/.exec((await read(join(folder, ".git"))) ?? "")?.[1];
  const git = resolve(folder, pointed ?? ".git");
  const head = await read(join(git, "HEAD"));
  const branch = /^ref: (.+)$/.exec(head ?? "")?.[1];
  if (!branch) return head?.slice(0, 12);
  const common = resolve(git, (await read(join(git, "commondir"))) ?? ".");
  const packed = async (): Promise<string | undefined> =>
    (await read(join(common, "packed-refs")))
      ?.split("\n")
      .find((line) => line.endsWith(` ${branch}`))
      ?.split(" ")[0];
  return ((await read(join(common, branch))) ?? (await packed()))?.slice(0, 12);
}
