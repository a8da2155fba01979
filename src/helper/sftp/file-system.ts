import { promises as fs } from "node:fs";
import { type FileSystemState, fileSystemFlags } from "#ssh/sftp";

/** Linux's NAME_MAX, which Node does not tell of a single file system. */
const longestName = 255n;

/** statvfs(3) of the file system that holds `path`. */
export async function fileSystemState(path: Buffer): Promise<FileSystemState> {
  const [{ bsize, frsize, blocks, bfree, bavail, files, ffree }, { dev }, mounts] = await Promise.all([
    fs.statfs(path, { bigint: true }),
    fs.stat(path, { bigint: true }),
    fs.readFile("/proc/self/mountinfo", "utf8").catch(() => ""),
  ]);
  return {
    bsize,
    frsize,
    blocks,
    bfree,
    bavail,
    files,
    ffree,
    favail: ffree,
    fsid: dev,
    flag: flags(mounts, dev),
    namemax: longestName,
  };
}

/** What is forbidden on a device, by its first mount (proc(5), mountinfo). */
function flags(mounts: string, dev: bigint): bigint {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const fields = mounts
    .split("\n")
    .map((line) => line.split(" "))
    .find(([, , device]) => device === `${major}:${minor & 0xffff_ffffn}`);
  const options = fields?.[5]?.split(",") ?? [];
  const readOnly = options.includes("ro") ? fileSystemFlags.readOnly : 0n;
  return readOnly | (options.includes("nosuid") ? fileSystemFlags.noSetuid : 0n);
}
