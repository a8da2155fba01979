import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { type Cluster, metric, startCluster, until } from "./cluster.ts";

const host = "127.0.0.1";
const doors = ["node", "proxy"] as const;
type Door = (typeof doors)[number];

const open = async (cluster: Cluster, door: Door): Promise<Socket> => {
  const socket = connect({ host, port: cluster.ports[door] });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};

/** What the server says first: its version line, or why it does not take the connection. */
async function greeting(socket: Socket): Promise<string> {
  let said = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    said += String(chunk);
    if (said.includes("\n")) break;
  }
  return said.split("\r\n")[0] ?? "";
}

suite("limits before the login", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({
      teleport: [
        "connection_limits:",
        "  max_unauthenticated_per_source: 20",
        "  login_grace: 2s",
        "  penalties: {exempt: [], late: 0s, broken: 5s, block_from: 30s}",
      ],
    });
  });
  after(() => cluster[Symbol.asyncDispose]());

  for (const door of doors) {
    test(`S13: at the ${door} port one source holds so many connections without a login, and has them back after the time to log in`, async () => {
      const held = await Promise.all(Array.from({ length: 20 }, () => open(cluster, door)));
      for (const socket of held) assert.match(await greeting(socket), /^SSH-2\.0-Teleport/);
      const [first, second] = held;
      if (first && second) {
        first.write("SSH-2.0-x\r\n");
        second.write("SSH-2.0-slow");
      }
      const more = await open(cluster, door);
      assert.match(await greeting(more), /^Too many connections/);
      const service = `service="${door}"`;
      assert.equal(await metric(cluster, `teleport_ssh_connections_unauthenticated{${service}}`), 20);
      assert.equal(
        await metric(
          cluster,
          `teleport_ssh_connections_refused_total{${service},reason="unauthenticated_per_source"}`,
        ),
        1,
      );
      await until(
        async () => (await metric(cluster, `teleport_ssh_connections_unauthenticated{${service}}`)) === 0,
        10_000,
      );
      assert.equal(await metric(cluster, `teleport_ssh_logins_total{${service},outcome="late"}`), 20);
      for (const socket of [...held, more]) socket.destroy();
    });
  }

  test("who is inside stays when its address is blocked, and what the proxy's users do at the node blocks nobody else there", async () => {
    const inside = cluster.ssh(cluster.joe, "testnode.main", "sleep 4; echo done");
    await until(async () => (await metric(cluster, 'teleport_ssh_connections{service="node"}')) === 1);
    for (const door of ["node", "proxy"] as const) {
      for (let i = 0; i < 9; i++) {
        const socket = await open(cluster, door);
        socket.write("GET / HTTP/1.1\r\n\r\n");
        await once(socket.resume(), "close");
      }
    }
    assert.match(await greeting(await open(cluster, "proxy")), /^Too many connections/);
    // The proxy of this cluster is at the same address: to the node it brings other people's connections.
    const last = await open(cluster, "node");
    assert.match(await greeting(last), /^SSH-2\.0-Teleport/);
    last.destroy();
    const refused = 'teleport_ssh_connections_refused_total{service="proxy",reason="penalty"}';
    assert.ok((await metric(cluster, refused)) >= 1);
    const ran = await inside;
    assert.deepEqual([ran.code, ran.out], [0, "done\n"], ran.err);
  });
});
