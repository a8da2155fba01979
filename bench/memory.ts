import { Program } from "../test/support/program.ts";
import { type Figure, figure, inTurns } from "./figures.ts";
import { memory } from "./processes.ts";
import type { Side } from "./side.ts";

const sessions = 100;
const atOnce = 5;
/** What the user runs is no part of the servers. */
const users = ["sleep", "dash", "sh", "bash"];

/** What an idle session with a terminal adds to the memory of the servers' processes, on every hop together. */
export async function measureMemory(sides: readonly Side[], runs = 1): Promise<Figure[]> {
  const resident = new Map<Side, number[]>(sides.map((side) => [side, []]));
  const proportional = await inTurns(sides, runs, async (side) => {
    await using stack = new AsyncDisposableStack();
    const openOne = async (): Promise<void> => {
      const args = ["-tt", ...side.ssh, "echo ready; exec sleep 600"];
      const ssh = stack.use(await Program.start("ssh", args));
      await ssh.line(/ready\r\n/);
    };
    await openOne(); // what the first of all needs is not every session's
    const before = memory(side.servers, users);
    for (let n = 0; n < sessions; n += atOnce) await Promise.all(Array.from({ length: atOnce }, openOne));
    const after = memory(side.servers, users);
    resident.get(side)?.push((after.rss - before.rss) / sessions);
    return (after.pss - before.pss) / sessions;
  });
  return [
    figure("an idle session, resident", "MiB", resident),
    figure("an idle session, shared pages divided", "MiB", proportional),
  ];
}
