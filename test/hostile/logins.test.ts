import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { type ClientConnection, connect, duplex } from "#ssh";
import { DirectTcpip } from "#ssh/forward";
import { parsePrivateKey, parsePublicKeyLine, type Signer } from "#ssh/keys";
import { openSession } from "#ssh/session";
import { skipUnless } from "../support/installed.ts";
import { type Cluster, metric, startCluster, until } from "./cluster.ts";

const host = "127.0.0.1";
const people = 300;
const MiB = 1024 * 1024;

suite("three hundred people log in", { skip: skipUnless("ssh", "ssh-keygen"), timeout: 300_000 }, () => {
  let cluster: Cluster;
  let signer: Signer;
  before(async () => {
    cluster = await startCluster({ teleport: ["connection_limits: {max_unauthenticated_per_source: 20}"] });
    const { key } = await parsePrivateKey(await readFile(cluster.joe, "utf8"));
    const { key: certificate } = parsePublicKeyLine(await readFile(`${cluster.joe}-cert.pub`, "utf8"));
    signer = key.signer(certificate);
  });
  after(() => cluster[Symbol.asyncDispose]());

  const over = (stream: Parameters<typeof connect>[0]["stream"]): Promise<ClientConnection> =>
    connect(
      {
        stream,
        user: cluster.login,
        version: "Teleport",
        signers: [signer],
        verifyHost() {},
        timeout: 60_000,
        clock: systemClock,
        log: silentLog,
      },
      new AbortController().signal,
    );

  interface Person {
    readonly proxy: ClientConnection;
    readonly node: ClientConnection;
  }

  /** Through the proxy to the node, where a command is run. */
  async function logIn(): Promise<Person> {
    const proxy = await over(connectTcp(cluster.ports.proxy, host));
    const to = { host: "testnode", port: 0, originatorHost: host, originatorPort: 1 };
    try {
      const { channel } = await proxy.open("direct-tcpip", DirectTcpip.encode(to));
      return { proxy, node: await over(duplex(channel)) };
    } catch (err) {
      proxy.disconnect();
      throw err;
    }
  }

  async function say({ node }: Person, text: string): Promise<string> {
    const session = await openSession(node);
    assert.ok(await session.exec(`echo ${text}`));
    let said = "";
    for await (const chunk of session.channel) said += Buffer.from(chunk).toString();
    assert.deepEqual(await session.exit, { code: 0 });
    return said;
  }

  /** All of them, so many at a time. */
  async function all(atATime: number, each: (i: number) => Promise<void>): Promise<void> {
    const left = Array.from({ length: people }, (_, i) => i).values();
    await Promise.all(
      Array.from({ length: atATime }, async () => {
        for (const i of left) await each(i);
      }),
    );
  }

  const inside = (): Promise<number> => metric(cluster, 'teleport_ssh_connections{service="proxy"}');

  const refusedAt = (service: string): Promise<number> =>
    metric(
      cluster,
      `teleport_ssh_connections_refused_total{service="${service}",reason="unauthenticated_per_source"}`,
    );

  async function leave(crowd: readonly Person[]): Promise<void> {
    for (const { node, proxy } of crowd) {
      node.disconnect();
      proxy.disconnect();
    }
    await Promise.all(crowd.map(({ proxy }) => proxy.closed));
  }

  test("fewer at a time than the limit all get in and stay at once; nothing is left of them afterwards", async () => {
    // What is loaded and opened for the first person of all is not theirs alone.
    const first = await logIn();
    await say(first, "first");
    await leave([first]);
    await until(async () => (await inside()) === 0);
    const files = cluster.files();
    const memory = cluster.memory();
    const crowd: Person[] = [];
    await all(8, async () => void crowd.push(await logIn()));
    assert.equal(await inside(), people);
    // A shell for each takes its time: some of them run one.
    await all(4, async (i) => {
      if (i % 15 === 0) assert.equal(await say(crowd[i] as Person, `person ${i}`), `person ${i}\n`);
    });
    await leave(crowd);
    await until(async () => cluster.files() <= files, 30_000);
    const grown = (cluster.memory() - memory) / MiB;
    assert.ok(grown < 150, `${grown} MiB more than before`);
  });

  test("all at once, those beyond the limit are told so at once, and whoever comes again gets in", async () => {
    const files = cluster.files();
    const crowd: Person[] = [];
    const refused: string[] = [];
    await all(people, async () => {
      try {
        crowd.push(await logIn());
      } catch (err) {
        refused.push((err as Error).message);
      }
    });
    assert.equal(crowd.length + refused.length, people);
    assert.ok(crowd.length >= 20, `${crowd.length} got in`);
    for (const why of refused) assert.match(why, /closed the connection before it said its SSH version/);
    // Whoever got through the proxy quickly meets the same limit at the node.
    const [proxy, node] = await Promise.all(["proxy", "node"].map(refusedAt));
    assert.equal((proxy ?? 0) + (node ?? 0), refused.length, `proxy ${proxy}, node ${node}`);
    await leave(crowd);
    await until(async () => cluster.files() <= files, 30_000);
    const later = await logIn();
    assert.equal(await say(later, "later"), "later\n");
    await leave([later]);
  });
});
