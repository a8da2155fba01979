import { mustRun } from "../test/support/run.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import type { Side } from "./side.ts";

const workers = 8;
const each = 5;

/** How many connections with a command come about in a second, with eight clients at a time. */
export async function measureRate(sides: readonly Side[], { runs = 5 }: Asked): Promise<Figure[]> {
  const values = await inTurns(sides, runs, async (side) => {
    const { program, args, env = {} } = side.command();
    const started = performance.now();
    await Promise.all(
      Array.from({ length: workers }, async () => {
        for (let n = 0; n < each; n++) await mustRun(program, [...args, "true"], { env });
      }),
    );
    return (workers * each * 1000) / (performance.now() - started);
  });
  return [figure(`${workers} at a time, ssh … true`, "connections/s", values, "rate")];
}
