import { join } from "node:path";
import { Program } from "../test/support/program.ts";
import { inputOf } from "./bulk.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import { plainCopy } from "./plain-copy.ts";
import type { Side } from "./side.ts";

const delay = 50; // milliseconds, each way

/** Throughput over a long line, between the client and the first server, beside a plain copy over TCP through the same line. */
export async function measureWan(sides: readonly Side[], asked: Asked): Promise<Figure[]> {
  const tsh = sides.filter(({ client }) => client === "tsh");
  return [
    ...(await measureLine(100, sides, asked)),
    // So much that the logins, a second, do not count for more than on the slower line.
    ...(await measureLine(1000, tsh, { mebibytes: 1024, ...asked })),
  ];
}

async function measureLine(
  mbits: number,
  sides: readonly Side[],
  { runs = 5, mebibytes = 256 }: Asked,
): Promise<Figure[]> {
  await using input = await inputOf(mebibytes);
  await using plain = await plainCopy(mebibytes * 1024 * 1024);
  const figures: Figure[] = [];
  for (const direction of ["up", "down"] as const) {
    const speed = await inTurns([plain, ...sides], runs, async (side) => {
      await using line = await Program.start(process.execPath, [
        join(import.meta.dirname, "relay.ts"),
        ...[`--to=${side.door}`, `--delay=${delay}`, `--rate=${mbits}`],
      ]);
      const door = Number((await line.line(/on (\d+)\n/))[1]);
      const seconds =
        "copy" in side
          ? await side.copy(door, direction)
          : await input.transfer(side.command({ door }), direction);
      return mebibytes / seconds;
    });
    const what = `${direction}, ${delay} ms away at ${mbits} Mbit/s, ${mebibytes} MiB`;
    figures.push(figure(what, "MiB/s", speed, `wan ${mbits} ${direction}`));
  }
  return figures;
}
