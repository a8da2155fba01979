import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { tempDir } from "../test/support/temp-dir.ts";
import { type Asked, type Figure, figure, inTurns } from "./figures.ts";
import { cpuDuring } from "./processes.ts";
import { type Command, type Side, stock } from "./side.ts";

/** Throughput of one session up and down, and the CPU time that the servers' side needs for it: as it comes, and with AES-128. */
export async function measureBulk(sides: readonly Side[], asked: Asked): Promise<Figure[]> {
  return [
    ...(await measureCipher(sides, asked)),
    ...(await measureCipher(stock(sides), asked, "aes128-gcm@openssh.com")),
  ];
}

async function measureCipher(
  sides: readonly Side[],
  { runs = 5, mebibytes = 512 }: Asked,
  cipher?: string,
): Promise<Figure[]> {
  await using input = await inputOf(mebibytes);
  const figures: Figure[] = [];
  const change = cipher === undefined ? {} : { cipher };
  const [named, id] = cipher === undefined ? ["", "bulk"] : [`, ${cipher.replace(/@.*/, "")}`, "bulk aes128"];
  for (const direction of ["up", "down"] as const) {
    const cpu = new Map<Side, number[]>(sides.map((side) => [side, []]));
    const speed = await inTurns(sides, runs, async (side) => {
      const command = side.command(change);
      let seconds = 0;
      const used = await cpuDuring(side.servers, async () => {
        seconds = await input.transfer(command, direction);
      });
      cpu.get(side)?.push((used * 1024) / mebibytes);
      return mebibytes / seconds;
    });
    const what = `${direction}, ${mebibytes} MiB${named}`;
    figures.push(figure(what, "MiB/s", speed, `${id} ${direction}`));
    figures.push(figure(`${direction}${named}, servers' CPU`, "s/GiB", cpu, `${id} ${direction} CPU`));
  }
  return figures;
}

interface Input extends AsyncDisposable {
  /** Sends it to, or gets as much from, where the command leads; the seconds from the client's start to its end. */
  transfer(command: Command, direction: "up" | "down"): Promise<number>;
}

/** A file with as many zeros, which takes no room. */
export async function inputOf(mebibytes: number): Promise<Input> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  {
    await using file = await open(folder.at("zeros"), "w");
    await file.truncate(mebibytes * 1024 * 1024);
  }
  const kept = stack.move();
  return {
    async transfer(command, direction) {
      await using input = await open(direction === "up" ? folder.at("zeros") : "/dev/null");
      const started = performance.now();
      const remote = direction === "up" ? "cat > /dev/null" : `head -c ${mebibytes}M /dev/zero`;
      await transfer(command, remote, input.fd);
      return (performance.now() - started) / 1000;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Runs a client with an open file as its input; what it prints is thrown away. */
export async function transfer(
  { program, args, env }: Command,
  remote: string,
  input: number,
): Promise<void> {
  const client = spawn(program, [...args, remote], {
    env: { ...process.env, ...env },
    stdio: [input, "ignore", "inherit"],
  });
  const code = await new Promise((resolve, reject) => client.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
}
