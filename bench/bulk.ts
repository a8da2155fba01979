import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { tempDir } from "../test/support/temp-dir.ts";
import { type Figure, figure, inTurns } from "./figures.ts";
import { cpuDuring } from "./processes.ts";
import type { Side } from "./side.ts";

const mebibytes = 512;

/** Throughput of one session up and down, and the CPU time that the servers' side needs for it. */
export async function measureBulk(sides: readonly Side[], runs = 3): Promise<Figure[]> {
  await using folder = await tempDir();
  await using file = await open(folder.at("zeros"), "w+");
  await file.truncate(mebibytes * 1024 * 1024);
  const figures: Figure[] = [];
  for (const [direction, command] of [
    ["up", "cat > /dev/null"],
    ["down", `head -c ${mebibytes}M /dev/zero`],
  ] as const) {
    const cpu = new Map<Side, number[]>(sides.map((side) => [side, []]));
    const speed = await inTurns(sides, runs, async (side) => {
      await using input = await open(direction === "up" ? folder.at("zeros") : "/dev/null");
      const started = performance.now();
      let seconds = 0;
      const used = await cpuDuring(side.servers, async () => {
        await transfer([...side.ssh, command], input.fd);
        seconds = (performance.now() - started) / 1000;
      });
      cpu.get(side)?.push((used * 1024) / mebibytes);
      return mebibytes / seconds;
    });
    figures.push(figure(`${direction}, ${mebibytes} MiB`, "MiB/s", speed));
    figures.push(figure(`${direction}, servers' CPU`, "s/GiB", cpu));
  }
  return figures;
}

/** Runs `ssh` with an open file as its input; what it prints is thrown away. */
export async function transfer(args: readonly string[], input: number): Promise<void> {
  const ssh = spawn("ssh", args, { stdio: [input, "ignore", "inherit"] });
  const code = await new Promise((resolve, reject) => ssh.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`ssh ended with ${code}`);
}
