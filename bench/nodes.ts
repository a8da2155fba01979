import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect as dial } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { type ClientConnection, connect } from "#ssh";
import { DirectTcpip } from "#ssh/forward";
import { parsePrivateKey, parsePublicKeyLine } from "#ssh/keys";
import { quiet } from "../test/e2e/daemon.ts";
import { Program } from "../test/support/program.ts";
import { mustRun } from "../test/support/run.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { type Asked, type Figure, figure, quantile } from "./figures.ts";
import type { Members } from "./members.ts";
import { bin, signUp, startDaemon } from "./ours.ts";
import { cpuDuring, memory } from "./processes.ts";
import type { Side } from "./side.ts";

const watched = 60; // seconds
const lookups = 500;
const cluster = "bench";
const login = "bench";

/**
 * What very many registered nodes cost: the auth service their heartbeats, `tsh ls` its time, and a proxy the way to one of
 * them. The nodes are another process's, the daemon is a real one with auth and proxy.
 */
export async function measureNodes(
  _sides: readonly Side[],
  { nodes: count = 10_000, runs = 7 }: Asked,
): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const { ports, config, daemon } = stack.use(await startDaemon(folder, { node: false }));
  const before = memory([daemon.pid], []).rss;
  const person = await signUp(folder, config, login, ports.web);
  const exported = (...more: string[]): Promise<string> =>
    mustRun(bin("tctl"), ["-c", config, "auth", "export", "--type=tls", ...more]);
  const hostCa = { cert: await exported(), key: await exported("--keys") };
  const asked: Members = { count, cluster, authPort: ports.auth, hostCa };
  const file = folder.at("members.json");
  await writeFile(file, JSON.stringify(asked));
  const started = performance.now();
  const members = stack.use(
    await Program.start(process.execPath, [join(import.meta.dirname, "members.ts"), file]),
  );
  await members.line(/^registered$/m, 1_800_000);
  console.log(`${count} nodes registered in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  await sleep(10_000); // what the last of them cost

  const side = { name: `ours, ${count} nodes` };
  const one = (what: string, unit: string, values: number[], id?: string): Figure =>
    figure(what, unit, new Map([[side, values]]), id);
  const cpu = await cpuDuring([daemon.pid], () => sleep(watched * 1000));
  const figures = [
    one("heartbeats", "% of a core", [(100 * cpu) / watched], "heartbeats"),
    one("memory of auth and proxy, a node", "KiB", [
      ((memory([daemon.pid], []).rss - before) * 1024) / count,
    ]),
  ];

  const home = folder.at("home");
  await mkdir(home, { mode: 0o700 });
  const env = { ...quiet, HOME: home };
  const proxy = `--proxy=127.0.0.1:${ports.web},${ports.proxy}`;
  await mustRun(bin("tsh"), ["login", "--insecure", proxy, "--user=bench"], {
    env,
    input: `${person.password}\n`,
  });
  const lists: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const begun = performance.now();
    const said = await mustRun(bin("tsh"), ["ls"], { env });
    if (run > 0) lists.push(performance.now() - begun); // the first fills the compile cache
    const lines = said.split("\n").filter((line) => line.startsWith("node-")).length;
    if (lines !== count) throw new Error(`${lines} of ${count} nodes are listed:\n${members.said}`);
  }
  figures.push(one("tsh ls", "ms", lists, "tsh ls"));

  const found = await lookUp(ports.proxy, person.key, count);
  figures.push(
    one("a node looked up and dialled, p50", "ms", [quantile(found, 0.5)], "lookup p50"),
    one("the same, p99", "ms", [quantile(found, 0.99)]),
  );
  const lost = members.said.match(/^lost .*$/gm) ?? [];
  if (lost.length > 0) throw new Error(`${lost.length} nodes were lost, such as ${lost[0]}`);
  return figures;
}

/** How long each of many nodes takes from the request for a channel to it until it has taken the proxy's connection, in ms. */
async function lookUp(proxyPort: number, keyFile: string, count: number): Promise<number[]> {
  const [key, cert] = await Promise.all([readFile(keyFile, "utf8"), readFile(`${keyFile}-cert.pub`, "utf8")]);
  const signer = parsePrivateKey(key).key.signer(parsePublicKeyLine(cert).key);
  const over = new AbortController();
  const connection: ClientConnection = await connect(
    {
      stream: dial(proxyPort, "127.0.0.1"),
      user: login,
      version: "bench",
      signers: [signer],
      verifyHost: () => {},
      clock: systemClock,
      log: silentLog,
    },
    over.signal,
  );
  const times: number[] = [];
  for (let i = 0; i < lookups; i++) {
    const host = `node-${Math.floor((i * count) / lookups)}.example.com`;
    const begun = performance.now();
    const request = DirectTcpip.encode({ host, port: 0, originatorHost: "127.0.0.1", originatorPort: 0 });
    const { channel } = await connection.open("direct-tcpip", request);
    times.push(performance.now() - begun);
    await channel.close();
  }
  over.abort();
  return times;
}
