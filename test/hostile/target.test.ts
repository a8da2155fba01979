import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { silentLog } from "#core/log";
import { type Channel, type ClientConnection, connect } from "#ssh";
import { DirectTcpip } from "#ssh/forward";
import { parsePrivateKey, parsePublicKeyLine } from "#ssh/keys";
import { skipUnless } from "../support/installed.ts";
import { type Cluster, startCluster, until } from "./cluster.ts";

const host = "127.0.0.1";
const MiB = 1024 * 1024;

/** A host that a user may reach through the proxy, and that means the proxy no good. */
class Target implements Disposable {
  /** What all its connections have put into their sockets. */
  sent = 0;
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #flood = Buffer.alloc(MiB, "x");

  constructor() {
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.sockets.delete(socket));
      socket.once("data", (word) => {
        if (String(word) === "flood") this.#send(socket);
        // Reads no more of it, and never answers.
        else socket.pause();
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, host, resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Without end, as fast as it goes. */
  #send(socket: Socket): void {
    socket.write(this.#flood, (err) => {
      if (err) return;
      this.sent += this.#flood.length;
      this.#send(socket);
    });
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

suite("a target that means no good", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  let cluster: Cluster;
  const target = new Target();
  let port: number;
  before(async () => {
    port = await target.listen();
    cluster = await startCluster({ proxy: [`openssh_targets: ["${host}:${port}"]`] });
  });
  after(async () => {
    target[Symbol.dispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  /** Joe at the proxy. */
  async function joe(): Promise<ClientConnection> {
    const { key } = await parsePrivateKey(await readFile(cluster.joe, "utf8"));
    const { key: certificate } = parsePublicKeyLine(await readFile(`${cluster.joe}-cert.pub`, "utf8"));
    return await connect(
      {
        stream: connectTcp(cluster.ports.proxy, host),
        user: cluster.login,
        version: "Teleport",
        signers: [key.signer(certificate)],
        verifyHost() {},
        clock: systemClock,
        log: silentLog,
      },
      new AbortController().signal,
    );
  }

  async function reach(connection: ClientConnection): Promise<Channel> {
    const extra = DirectTcpip.encode({ host, port, originatorHost: host, originatorPort: 1 });
    return (await connection.open("direct-tcpip", extra)).channel;
  }

  /** Somebody else's command, from the login to its end. */
  async function served(): Promise<void> {
    const ran = await cluster.ssh(cluster.joe, "testnode.main", "echo still here");
    assert.deepEqual([ran.code, ran.out], [0, "still here\n"], ran.err);
  }

  /** Waits until a count has not moved for as long as `meanwhile` took, which goes on all the time. */
  async function stoodStill(count: () => number, meanwhile: () => Promise<void>): Promise<void> {
    for (let before = -1; before !== count() || before === 0; ) {
      before = count();
      await meanwhile();
    }
  }

  test("S65: endless data on channels that nobody reads stops at the windows, and others are served meanwhile", async () => {
    const baseline = cluster.memory();
    const connection = await joe();
    // At once: the proxy waits for each to speak first, as an sshd would.
    const channels = await Promise.all(Array.from({ length: 30 }, () => reach(connection)));
    for (const channel of channels) await channel.write(Buffer.from("flood"));
    await stoodStill(() => target.sent, served);
    // Sockets' buffers at both ends of the proxy come to the windows, with kernels that are generous on loopback.
    assert.ok(target.sent < 30 * 24 * MiB, `${target.sent / MiB} MiB were taken from it`);
    const grown = cluster.memory() - baseline;
    assert.ok(grown < 200 * MiB, `${grown / MiB} MiB more`);
    connection.disconnect();
    await until(async () => target.sockets.size === 0);
  });

  test("S65: a target that never reads holds back its own sender, and nobody else", async () => {
    const baseline = cluster.memory();
    const files = cluster.files();
    const connection = await joe();
    const chunk = Buffer.alloc(MiB, "y");
    let written = 0;
    const stuck = await reach(connection);
    const writing = (async () => {
      for (;;) {
        await stuck.write(chunk);
        written += chunk.length;
      }
    })();
    writing.catch(() => {});
    // Another channel of the same connection flows.
    const lively = await reach(connection);
    await lively.write(Buffer.from("flood"));
    const flowing = lively[Symbol.asyncIterator]();
    await stoodStill(
      () => written,
      async () => {
        for (let read = 0; read < 20 * MiB; ) {
          const { done, value } = await flowing.next();
          if (done) throw new Error("the lively channel ended");
          read += value.length;
        }
      },
    );
    assert.ok(written < 64 * MiB, `${written / MiB} MiB were taken for it`);
    assert.ok(cluster.memory() - baseline < 150 * MiB);
    connection.disconnect();
    await until(async () => cluster.files() <= files, 10_000);
  });
});
