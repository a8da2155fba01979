import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { type Asked, type Figure, figure, quantile } from "./figures.ts";
import { type Side, stock } from "./side.ts";

const keys = 400;

/**
 * How long after a key is pressed its echo comes, in sessions with a terminal, one key of each side in turn; and again, a
 * side after the other, while another connection through the same servers is as busy as it can be.
 */
export async function measureEcho(all: readonly Side[], { runs = 5 }: Asked): Promise<Figure[]> {
  const sides = stock(all);
  const none = (): Map<Side, number[]> => new Map(sides.map((side) => [side, []]));
  const [half, worst] = [none(), none()];
  const busy = { up: none(), down: none() };
  for (let round = 0; round < runs; round++) {
    await using stack = new AsyncDisposableStack();
    const sessions = new Map<Side, Session>();
    for (const side of sides) sessions.set(side, stack.use(await openSession(side)));
    const times = none();
    for (let key = 0; key < keys; key++) {
      for (const [side, session] of sessions) times.get(side)?.push(await session.press("x"));
    }
    for (const [side, values] of times) {
      half.get(side)?.push(quantile(values, 0.5));
      worst.get(side)?.push(quantile(values, 0.99));
    }
    for (const direction of ["up", "down"] as const) {
      for (const [side, session] of sessions) {
        await using _ = await openTransfer(side, direction);
        const values: number[] = [];
        for (let key = 0; key < keys; key++) values.push(await session.press("x"));
        busy[direction].get(side)?.push(quantile(values, 0.99));
      }
    }
  }
  return [
    figure(`echo of a key, p50 of ${keys}`, "ms", half, "echo p50"),
    figure(`echo of a key, p99 of ${keys}`, "ms", worst, "echo p99"),
    ...(["up", "down"] as const).map((direction) =>
      figure(
        `echo beside a transfer ${direction}, p99`,
        "ms",
        busy[direction],
        `echo p99 beside ${direction}`,
      ),
    ),
  ];
}

interface Session extends AsyncDisposable {
  /** Milliseconds until the terminal has echoed it. */
  press(key: string): Promise<number>;
}

/** The far terminal echoes by itself; nothing there reads, so that no program's answer gets in between. */
async function openSession(side: Side): Promise<Session> {
  const { program, args } = side.command();
  const ssh = spawn(program, ["-tt", ...args, "echo ready; exec sleep 600"], {
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

/** An endless transfer, which has begun. */
async function openTransfer(side: Side, direction: "up" | "down"): Promise<AsyncDisposable> {
  const { program, args } = side.command();
  await using input = await open(direction === "up" ? "/dev/zero" : "/dev/null");
  // It says that it begins where its output does not count.
  const remote = `echo begins >&2; exec cat ${direction === "up" ? "> /dev/null" : "/dev/zero"}`;
  const ssh = spawn(program, [...args, remote], { stdio: [input.fd, "ignore", "pipe"] });
  const closed = new Promise<void>((resolve) => ssh.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    ssh.once("close", (code) => reject(new Error(`the transfer ended with ${code}`)));
    ssh.stderr?.once("data", () => resolve());
  });
  return {
    async [Symbol.asyncDispose]() {
      ssh.kill("SIGTERM");
      await closed;
    },
  };
}
