import { spawn } from "node:child_process";
import { chmod, open } from "node:fs/promises";
import { tempDir } from "../test/support/temp-dir.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import { cpuDuring } from "./processes.ts";
import { type Side, stock } from "./side.ts";

/** A file fetched and stored by `sftp`, from and to memory, and the CPU time that the servers' side needs for it. */
export async function measureSftp(all: readonly Side[], asked: Asked): Promise<Figure[]> {
  const { runs = 5, mebibytes = 1024 } = asked;
  const sides = stock(all);
  await using folder = await tempDir();
  const zeros = folder.at("zeros");
  await using file = await open(zeros, "w+");
  await file.truncate(mebibytes * 1024 * 1024);
  // The login on the servers' side may be another.
  for (const path of [folder.path, zeros]) await chmod(path, 0o755);
  const figures: Figure[] = [];
  for (const [what, line] of [
    ["get", `get ${zeros} /dev/null`],
    ["put", `put ${zeros} /dev/null`],
  ] as const) {
    const cpu = new Map<Side, number[]>(sides.map((side) => [side, []]));
    const speed = await inTurns(sides, runs, async (side) => {
      const { args } = side.command();
      const started = performance.now();
      let seconds = 0;
      const used = await cpuDuring(side.servers, async () => {
        await sftp(args, line);
        seconds = (performance.now() - started) / 1000;
      });
      cpu.get(side)?.push((used * 1024) / mebibytes);
      return mebibytes / seconds;
    });
    figures.push(figure(`sftp ${what}, ${mebibytes} MiB`, "MiB/s", speed, `sftp ${what}`));
    figures.push(figure(`sftp ${what}, servers' CPU`, "s/GiB", cpu));
  }
  return figures;
}

async function sftp(ssh: readonly string[], line: string): Promise<void> {
  const child = spawn("sftp", ["-q", "-b", "-", ...ssh], { stdio: ["pipe", "ignore", "inherit"] });
  child.stdin.end(`${line}\n`);
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`sftp ended with ${code}`);
}
