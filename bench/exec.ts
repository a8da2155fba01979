import { mustRun } from "../test/support/run.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import type { Side } from "./side.ts";

/** How long `ssh … true` takes, and `tsh ssh … true`, from the client's start to its end: connection and login included. */
export async function measureExec(sides: readonly Side[], { runs = 11 }: Asked): Promise<Figure[]> {
  const once = async (side: Side): Promise<number> => {
    const { program, args, env = {} } = side.command();
    const started = performance.now();
    await mustRun(program, [...args, "true"], { env });
    return performance.now() - started;
  };
  await inTurns(sides, 2, once); // warm
  return [figure("ssh … true", "ms", await inTurns(sides, runs, once), "exec")];
}
