import { mustRun } from "../test/support/run.ts";
import { type Figure, figure, inTurns } from "./figures.ts";
import type { Side } from "./side.ts";

/** How long `ssh … true` takes, connection and login included. */
export async function measureExec(sides: readonly Side[], runs = 11): Promise<Figure[]> {
  const once = async (side: Side): Promise<number> => {
    const started = performance.now();
    await mustRun("ssh", [...side.ssh, "true"]);
    return performance.now() - started;
  };
  await inTurns(sides, 2, once); // warm
  return [figure("ssh … true", "ms", await inTurns(sides, runs, once))];
}
