import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

/**
 * Packs `names` of `folder` into `file`, in a folder `top`, and writes `file.sha256` as sha256sum does. The same content makes
 * the same bytes, whoever packs it, when and where: names are sorted, owners, modes and times are not the machine's.
 */
export async function packArchive(options: {
  readonly folder: string;
  readonly names: readonly string[];
  readonly top: string;
  readonly file: string;
  /** Of all files, seconds since 1970. */
  readonly time: number;
}): Promise<string> {
  const { folder, names, top, file, time } = options;
  const tar = spawn(
    "tar",
    [
      "--create",
      ...["--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"],
      ...[`--mtime=@${time}`, "--mode=u+rwX,go=rX", `--transform=s,^,${top}/,`],
      ...["--directory", folder, "--", ...[...names].sort()],
    ],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, LC_ALL: "C" } },
  );
  const ended = new Promise<number | null>((resolve, reject) => {
    tar.once("error", reject);
    tar.once("close", resolve);
  });
  await Promise.all([ended, pipeline(tar.stdout, createGzip({ level: 6 }), createWriteStream(file))]);
  if ((await ended) !== 0) throw new Error(`tar could not pack ${folder}`);
  const sum = await sha256(file);
  await writeFile(`${file}.sha256`, `${sum}  ${basename(file)}\n`);
  return sum;
}

/** A digest of the names, modes and content of all files under `names` of `folder`. */
export async function digestOf(folder: string, names: readonly string[]): Promise<string> {
  const lines: string[] = [];
  const walk = async (name: string): Promise<void> => {
    const path = join(folder, name);
    const about = await lstat(path);
    if (about.isDirectory()) for (const inner of await readdir(path)) await walk(`${name}/${inner}`);
    else lines.push(`${about.mode & 0o100 ? "x" : "-"} ${await sha256(path)} ${name}`);
  };
  for (const name of names) await walk(name);
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}

async function sha256(path: string): Promise<string> {
  const sum = createHash("sha256");
  for await (const chunk of createReadStream(path)) sum.update(chunk as Uint8Array);
  return sum.digest("hex");
}
