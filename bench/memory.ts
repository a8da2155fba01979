import { setTimeout as sleep } from "node:timers/promises";
import { Program } from "../test/support/program.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import { memory } from "./processes.ts";
import { type Side, stock } from "./side.ts";

const sessions = 300;
const atOnce = 5;
/** What the user runs is no part of the servers. */
const users = ["sleep", "dash", "sh", "bash"];
/** How long memory may take to come back once all sessions have ended, and how near to the start it has to come. */
const patience = 120_000;
const near = 1.1;

/**
 * What an idle session with a terminal, on a connection of its own, adds to the memory of the servers' processes, on every
 * hop together; and how much more than before is left when all have ended.
 */
export async function measureMemory(all: readonly Side[], { runs = 1 }: Asked): Promise<Figure[]> {
  const sides = stock(all);
  const none = (): Map<Side, number[]> => new Map(sides.map((side) => [side, []]));
  const [proportional, left] = [none(), none()];
  const resident = await inTurns(sides, runs, async (side) => {
    const { program, args } = side.command();
    const openOne = async (): Promise<Program> => {
      const ssh = await Program.start(program, ["-tt", ...args, "echo ready; exec sleep 3600"]);
      await ssh.line(/ready\r\n/);
      return ssh;
    };
    await using _first = await openOne(); // what the first of all needs is not every session's
    const before = memory(side.servers, users);
    let full = before;
    {
      await using stack = new AsyncDisposableStack();
      const openRest = async (): Promise<void> => void stack.use(await openOne());
      for (let n = 0; n < sessions; n += atOnce) await Promise.all(Array.from({ length: atOnce }, openRest));
      full = memory(side.servers, users);
    }
    proportional.get(side)?.push(((full.pss - before.pss) * 1024) / sessions);
    left.get(side)?.push((await settled(side, before.rss * near)) / before.rss);
    return ((full.rss - before.rss) * 1024) / sessions;
  });
  return [
    figure(`an idle session of ${sessions}, resident`, "KiB", resident, "memory"),
    figure(`an idle session of ${sessions}, shared pages divided`, "KiB", proportional),
    figure("resident after their end", "of before", left, "memory after"),
  ];
}

/** Resident memory once it is down to `enough`, or what it is when patience has run out. */
async function settled(side: Side, enough: number): Promise<number> {
  const until = performance.now() + patience;
  for (;;) {
    const { rss } = memory(side.servers, users);
    if (rss <= enough || performance.now() > until) return rss;
    await sleep(500);
  }
}
