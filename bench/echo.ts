import { spawn } from "node:child_process";
import { type Figure, figure, quantile } from "./figures.ts";
import type { Side } from "./side.ts";

const keys = 400;

/** How long after a key is pressed its echo comes, in sessions with a terminal, one key of each side in turn. */
export async function measureEcho(sides: readonly Side[], runs = 3): Promise<Figure[]> {
  const half = new Map<Side, number[]>(sides.map((side) => [side, []]));
  const worst = new Map<Side, number[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < runs; round++) {
    await using stack = new AsyncDisposableStack();
    const sessions = new Map<Side, Session>();
    for (const side of sides) sessions.set(side, stack.use(await openSession(side)));
    const times = new Map<Side, number[]>(sides.map((side) => [side, []]));
    for (let key = 0; key < keys; key++) {
      for (const [side, session] of sessions) times.get(side)?.push(await session.press("x"));
    }
    for (const [side, values] of times) {
      half.get(side)?.push(quantile(values, 0.5));
      worst.get(side)?.push(quantile(values, 0.99));
    }
  }
  return [
    figure(`echo of a key, p50 of ${keys}`, "ms", half),
    figure(`echo of a key, p99 of ${keys}`, "ms", worst),
  ];
}

interface Session extends AsyncDisposable {
  /** Milliseconds until the terminal has echoed it. */
  press(key: string): Promise<number>;
}

/** The far terminal echoes by itself; nothing there reads, so that no program's answer gets in between. */
async function openSession(side: Side): Promise<Session> {
  const ssh = spawn("ssh", ["-tt", ...side.ssh, "echo ready; exec sleep 600"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const closed = new Promise<never>((_, reject) => ssh.once("close", () => reject(new Error("ssh ended"))));
  closed.catch(() => {}); // also when nobody waits for an echo
  ssh.stdin.on("error", () => {});
  const said = (pattern: RegExp): Promise<void> => {
    let text = "";
    return new Promise((resolve) => {
      const read = (chunk: Buffer): void => {
        text += chunk.toString();
        if (!pattern.test(text)) return;
        ssh.stdout.off("data", read);
        resolve();
      };
      ssh.stdout.on("data", read);
    });
  };
  await Promise.race([said(/ready\r\n/), closed]);
  return {
    async press(key) {
      const echoed = said(new RegExp(key));
      const started = performance.now();
      ssh.stdin.write(key);
      await Promise.race([echoed, closed]);
      return performance.now() - started;
    },
    async [Symbol.asyncDispose]() {
      ssh.kill("SIGTERM");
      await closed.catch(() => {});
    },
  };
}
