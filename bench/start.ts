import { join } from "node:path";
import { mustRun } from "../test/support/run.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import type { Side } from "./side.ts";

const tsh = join(import.meta.dirname, "../dist/bin/tsh");

/** How long a command needs to start, beside the least that its runtime needs. */
export async function measureStart(_sides: readonly Side[], { runs = 15 }: Asked): Promise<Figure[]> {
  const programs = [
    { name: "node -e 0", command: process.execPath, args: ["-e", "0"] },
    { name: "tsh version", command: tsh, args: ["version"] },
  ];
  const once = async ({ command, args }: { command: string; args: string[] }): Promise<number> => {
    const started = performance.now();
    await mustRun(command, args);
    return performance.now() - started;
  };
  await inTurns(programs, 2, once); // fills the compile cache
  return [figure("start of a command", "ms", await inTurns(programs, runs, once))];
}
