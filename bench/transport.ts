/**
 * The SSH stack alone: a sink and a source on it, in this process, beside a stock sshd that runs `cat` and `head`, each
 * driven by stock `ssh`, for every cipher. `npm run bench:transport -- [cipher ...] [--ours]`
 */
import { open } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { parseArgs } from "node:util";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { type Accepted, accept, type Channel } from "#ssh";
import { ciphers } from "#ssh/crypto";
import { generateKey } from "#ssh/keys";
import { readSessionRequest, sendExit } from "#ssh/session";
import { startSshd } from "../test/support/sshd.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { transfer } from "./bulk.ts";
import { type Figure, figure, inTurns, table } from "./figures.ts";
import { cpuDuring } from "./processes.ts";

const MiB = 1024 * 1024;
const size = 256 * MiB;
const runs = 3;

interface End {
  readonly name: string;
  readonly ssh: readonly string[];
  /** CPU seconds of the server while `work` runs. */
  readonly cpu: (work: () => Promise<void>) => Promise<number>;
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { ours: { type: "boolean", default: false } },
});
await using stack = new AsyncDisposableStack();
const folder = stack.use(await tempDir());
const zeros = folder.at("zeros");
{
  await using file = await open(zeros, "w");
  await file.truncate(size);
}
const sshd = stack.use(await startSshd());
const quiet = ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"];
const stock: End = {
  name: "sshd",
  ssh: [...sshd.clientOptions, "127.0.0.1"],
  cpu: (work) => cpuDuring([sshd.pid], work),
};
const ours: End = {
  name: "ours",
  // Of two values ssh takes the first.
  ssh: ["-p", `${await listen()}`, "-o", "StrictHostKeyChecking=no", ...quiet, ...stock.ssh],
  async cpu(work) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  },
};
const ends = flags.ours ? [ours] : [stock, ours];
for (const cipher of positionals.length > 0 ? positionals : ciphers.map(({ name }) => name)) {
  const up = await measure(`${cipher} up`, ["-c", cipher], "cat > /dev/null", zeros);
  const down = await measure(`${cipher} down`, ["-c", cipher], `head -c ${size} /dev/zero`, "/dev/null");
  console.log(`${table([...up, ...down])}\n`);
}

/** Time on the wall and of the CPU, in turns. */
async function measure(what: string, options: string[], command: string, input: string): Promise<Figure[]> {
  const cpu = new Map<End, number[]>(ends.map((end) => [end, []]));
  const speed = await inTurns(ends, runs, async (end) => {
    await using file = await open(input);
    const started = performance.now();
    let seconds = 0;
    const used = await end.cpu(async () => {
      await transfer({ program: "ssh", args: [...options, ...end.ssh] }, command, file.fd);
      seconds = (performance.now() - started) / 1000;
    });
    cpu.get(end)?.push((used * 1024 * MiB) / size);
    return size / MiB / seconds;
  });
  return [figure(what, "MiB/s", speed), figure(`${what}, CPU`, "s/GiB", cpu)];
}

/** Serves `cat` and `head` of any user on a free port of 127.0.0.1 without starting a program. */
async function listen(): Promise<number> {
  const key = await generateKey("ed25519");
  const stop = new AbortController();
  stack.defer(() => stop.abort());
  const server = createServer((stream) => {
    const options = {
      stream,
      hostKeys: [key.signer()],
      version: "Teleport",
      check: async () => "anybody",
      clock: systemClock,
      log: silentLog,
    };
    accept(options, stop.signal).then(serve, (err: unknown) => console.error(err));
  });
  stack.defer(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

function serve({ connection }: Accepted<string>): void {
  connection.onOpen((request) => {
    const channel = request.accept();
    channel.onRequest((name, payload) => {
      const asked = readSessionRequest(name, payload);
      if (asked?.name !== "exec") return false;
      void (asked.body.command.startsWith("cat") ? sink(channel) : source(channel));
      return true;
    });
  });
}

async function sink(channel: Channel): Promise<void> {
  for await (const _ of channel);
  await finish(channel);
}

async function source(channel: Channel): Promise<void> {
  const chunk = new Uint8Array(64 * 1024); // what a pipe gives
  for (let sent = 0; sent < size; sent += chunk.length) await channel.write(chunk);
  await finish(channel);
}

async function finish(channel: Channel): Promise<void> {
  await sendExit(channel, { code: 0 });
  await channel.end();
  await channel.close();
}
