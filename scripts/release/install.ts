/**
 * Puts a release into a machine: `install`, beside what it installs, runs this on the release's own Node. It needs no other
 * program, so it works where there is nothing but a C library.
 */
import { constants } from "node:fs";
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";

export interface Installation {
  /** The unpacked release. */
  readonly from: string;
  /** Where its users find it: commands in `bin`, the rest in `lib/teleport`. Absolute. */
  readonly prefix: string;
  /** A folder that will be the root of a file system; empty for this one. */
  readonly destdir?: string;
}

export interface Installed {
  /** Of the version that the commands run from now on, e.g. `v5.0.0-0123456789ab`. */
  readonly name: string;
  /** Of the one before it, which stays for who still runs it. */
  readonly previous: string | undefined;
  /** Commands, as their users see them. */
  readonly commands: readonly string[];
}

const tools = ["teleport", "tctl", "tsh"];

/**
 * Copies the release into a folder of its own, `lib/teleport/<name>`, then turns `lib/teleport/current` to it, in one step. A
 * daemon that runs the version before goes on from its own files, which stay. Versions older than that go, unless they run.
 */
export async function installRelease({ from, prefix, destdir = "" }: Installation): Promise<Installed> {
  if (!isAbsolute(prefix)) throw new Error(`PREFIX must be an absolute path, not ${JSON.stringify(prefix)}`);
  const name = await nameOf(from);
  const versions = join(destdir, prefix, "lib", "teleport");
  await mkdir(versions, { recursive: true, mode: 0o755 });
  await removeLeftovers(versions);
  const to = join(versions, name);
  if (!(await isThere(to))) {
    const incoming = join(versions, `${incomingMark}${process.pid}`);
    await copyTree(from, incoming);
    await rename(incoming, to);
  }
  const before = await readlink(join(versions, "current")).catch(() => undefined);
  await pointTo(versions, name);
  const commands = await putCommands(from, prefix, destdir);
  // Installed once more, what was the one before still is.
  const previous = before === name ? await previousOf(versions) : before;
  await writeWhole(join(versions, "previous"), `${previous ?? ""}\n`, 0o644);
  await removeOld(versions, new Set([name, previous]));
  return { name, previous, commands };
}

async function nameOf(from: string): Promise<string> {
  const { name } = JSON.parse(await readFile(join(from, "release.json"), "utf8")) as { name?: string };
  if (name === undefined || !/^v[\w.-]+$/.test(name)) throw new Error(`${from} is no release`);
  return name;
}

const incomingMark = ".incoming-";

/** Of an installation that was cut off. */
async function removeLeftovers(versions: string): Promise<void> {
  for (const name of await readdir(versions)) {
    const pid = name.startsWith(incomingMark) ? Number(name.slice(incomingMark.length)) : undefined;
    if (pid !== undefined && !(await isThere(`/proc/${pid}`)))
      await rm(join(versions, name), { recursive: true, force: true });
  }
}

/** Modes are ours whatever the umask and the way it was unpacked; all is on disk when it resolves. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to);
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isFile() && !isArchive(entry.name)) {
      const executable = ((await lstat(source)).mode & 0o100) !== 0;
      await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      await chmod(target, executable ? 0o755 : 0o644);
      await onDisk(target);
    }
  }
  await onDisk(to);
}

/** The archive lies in the folder that it is made from. */
const isArchive = (name: string): boolean => /\.tar\.gz(\.sha256)?$/.test(name);

async function onDisk(path: string): Promise<void> {
  const handle = await open(path);
  await handle.sync().finally(() => handle.close());
}

async function pointTo(versions: string, name: string): Promise<void> {
  const draft = join(versions, `${incomingMark}${process.pid}`);
  await symlink(name, draft);
  await rename(draft, join(versions, "current"));
  await onDisk(versions);
}

async function putCommands(from: string, prefix: string, destdir: string): Promise<string[]> {
  const folder = join(destdir, prefix, "bin");
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const root = join(prefix, "lib", "teleport", "current");
  const commands: string[] = [];
  for (const tool of tools) {
    await writeWhole(join(folder, tool), await launcher(join(from, "bin", tool), root), 0o755);
    commands.push(join(prefix, "bin", tool));
  }
  return commands;
}

/**
 * The release's launcher, told where the release is instead of looking for it from its own place: no program is needed to
 * follow links, and what it starts is what `current` points to at that moment.
 */
async function launcher(path: string, root: string): Promise<string> {
  const quoted = `'${root.replaceAll("'", "'\\''")}'`;
  const text = await readFile(path, "utf8");
  const search = /^self=\$0\n[\s\S]*?^root=\$\(.*\)\n/m;
  if (!search.test(text)) throw new Error(`${path} is not the launcher of this release`);
  return text.replace(search, () => `root=${quoted}\n`);
}

async function previousOf(versions: string): Promise<string | undefined> {
  const text = await readFile(join(versions, "previous"), "utf8").catch(() => "");
  return text.trim() || undefined;
}

async function removeOld(versions: string, keep: ReadonlySet<string | undefined>): Promise<void> {
  const running = await runningFrom(await realpath(versions));
  for (const entry of await readdir(versions, { withFileTypes: true })) {
    const { name } = entry;
    if (!entry.isDirectory() || name.startsWith(".") || keep.has(name) || running.has(name)) continue;
    await rm(join(versions, name), { recursive: true, force: true });
  }
}

/** Names of the versions whose Node is running. Other users' processes are seen by root only. */
async function runningFrom(versions: string): Promise<Set<string>> {
  const names = new Set<string>();
  for (const pid of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(pid)) continue;
    const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
    if (program.startsWith(`${versions}/`)) names.add(program.slice(versions.length + 1).split("/")[0] ?? "");
  }
  return names;
}

/** Whole or not at all, for who reads or runs it at that moment. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, text, { mode });
  await chmod(draft, mode);
  await rename(draft, path);
}

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

async function main(): Promise<void> {
  const [from = "", prefix = "", destdir = ""] = process.argv.slice(2);
  const done = await installRelease({ from, prefix, destdir: destdir && resolve(destdir) });
  console.log(`${done.name} is installed: ${done.commands.join(", ")}`);
  if (done.previous !== undefined && done.previous !== done.name)
    console.log(`${done.previous} stays for daemons that still run it`);
}

if (["install.js", "install.ts"].includes(basename(process.argv[1] ?? ""))) {
  await main().catch((err: Error) => {
    console.error(`error: ${err.message}`);
    process.exitCode = 1;
  });
}
