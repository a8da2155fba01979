import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Leaving } from "#core/leaving";
import { AuthServer, Node, ProxyServer } from "#model";
import { cluster, hostId, otherId, role, system } from "../testing/cluster.ts";

const node = (id: string, labels = {}): Node =>
  Node.parse({ kind: "node", version: "v2", metadata: { name: id, labels }, spec: { hostname: "db" } });
const proxy = (id: string): ProxyServer =>
  ProxyServer.parse({ kind: "proxy", version: "v2", metadata: { name: id }, spec: { hostname: "px" } });
const denied = (err: unknown): boolean => Fault.is(err, "access_denied");
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Until the auth server has read of what was written. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn();
};

suite("presence (OVW-34)", () => {
  test("a member that says nothing is gone within 30 s; one that is alive stays", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId));
    await c.as(system("Node", otherId))["nodes.announce"](node(otherId));
    const names = async () => (await c.admin["nodes.list"]({})).map((n) => n.metadata.name);
    assert.deepEqual(await names(), [hostId, otherId]);
    for (let t = 0; t < 30; t += 5) {
      assert.equal((await names()).length, 2);
      await c.clock.advance(5 * second);
      assert.equal(await c.alive(hostId), true);
    }
    assert.deepEqual(await names(), [hostId]);
    await turn();
    assert.equal(await c.alive(otherId), false, "it is told to announce itself again");
  });

  test("whose record of several is lost is told; the others are kept", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId));
    await settled();
    assert.equal(await c.alive(hostId, ["node", "proxy"]), false);
    for (let t = 0; t < 60; t += 5) {
      await c.clock.advance(5 * second);
      await c.alive(hostId, ["node", "proxy"]);
    }
    assert.equal((await c.admin["nodes.list"]({})).length, 1);
    await c.proxy["proxies.announce"](proxy(hostId));
    await settled();
    assert.equal(await c.alive(hostId, ["node", "proxy"]), true);
  });

  test("whose record is not as the member says is told to announce it; no one can change a record by saying so", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId, { env: "prod", at: "b" }));
    await c.as(system("Node", otherId))["nodes.announce"](node(otherId));
    await settled();
    const alive = (record: Node) => c.alive(hostId, ["node"], [record]);
    assert.equal(await alive(node(hostId, { at: "b", env: "prod" })), true);
    assert.equal(await alive(node(hostId, { env: "dev", at: "b" })), false);
    assert.equal(await alive(node(otherId)), false, "only for itself");
    const { metadata } = (await c.admin["nodes.list"]({})).find((one) => one.metadata.name === hostId) ?? {};
    assert.deepEqual(metadata?.labels, { env: "prod", at: "b" });
  });

  test("keep-alives of many members are stored together, and no record is written or told for them", async (t) => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId));
    await c.as(system("Node", otherId))["nodes.announce"](node(otherId));
    const before = await c.backend.range("/").revision();
    const stored = t.mock.method(c.backend, "extend");
    for (let time = 0; time < 60; time += 5) {
      await c.clock.advance(5 * second);
      await c.alive(hostId);
      await c.alive(otherId);
    }
    assert.equal(await c.backend.range("/").revision(), before);
    assert.ok(stored.mock.callCount() <= 7, `${stored.mock.callCount()}`);
    assert.equal((await c.admin["nodes.list"]({})).length, 2);
  });

  test("an auth server that stops stores what was said last, and the next one goes on from there", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    {
      await using c = await cluster({}, { backend, clock });
      await c.node["nodes.announce"](node(hostId));
      await clock.advance(9 * second);
      await settled();
      await c.alive(hostId);
    }
    await clock.advance(25 * second);
    await using c = await cluster({}, { backend, clock });
    assert.equal((await c.admin["nodes.list"]({})).length, 1);
    assert.equal(await c.alive(hostId), true);
    await clock.advance(10 * second);
    assert.equal((await c.admin["nodes.list"]({})).length, 1);
  });

  test("a keep-alive in time is enough, however many were lost before", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId));
    await c.clock.advance(29 * second);
    await c.alive(hostId);
    await settled();
    await c.clock.advance(29 * second);
    assert.equal((await c.admin["nodes.list"]({})).length, 1);
  });

  test("S31: a member speaks for itself only", async () => {
    await using c = await cluster();
    await assert.rejects(c.node["nodes.announce"](node(otherId)), denied);
    await assert.rejects(c.proxy["nodes.announce"](node(hostId)), denied);
    await assert.rejects(c.node["proxies.announce"](proxy(hostId)), denied);
    await c.as(system("Node", otherId))["nodes.announce"](node(otherId));
    await assert.rejects(c.node["nodes.remove"]({ name: otherId }), denied);
    await c.as(system("Node", otherId))["nodes.remove"]({ name: otherId });
    assert.deepEqual(await c.admin["nodes.list"]({}), []);
  });

  test("people see the nodes that some login of theirs is let in to", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId, { env: "prod" }));
    await c.as(system("Node", otherId))["nodes.announce"](node(otherId, { env: "dev" }));
    await c.admin["roles.put"]({
      role: role("dev", { allow: { logins: ["joe"], node_labels: { env: "dev" } } }),
    });
    await c.addUser("joe", { roles: ["dev"] });
    const names = async (who: typeof c.node) => (await who["nodes.list"]({})).map((n) => n.metadata.name);
    assert.deepEqual(await names(c.user("joe", ["dev"])), [otherId]);
    assert.deepEqual(await names(c.node), [hostId, otherId]);
  });

  test("S61: labels named like parts of the language come back as they went", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node(hostId, { constructor: "x", toString: "y" }));
    const [back] = await c.admin["nodes.list"]({});
    assert.deepEqual(back?.metadata.labels, { constructor: "x", toString: "y" });
    assert.equal(({} as Record<string, unknown>).env, undefined);
  });

  test("an auth server is in the list while it runs, and leaves at once when it stops", async () => {
    await using c = await cluster();
    const server = AuthServer.parse({
      kind: "auth_server",
      version: "v2",
      metadata: { name: hostId },
      spec: { hostname: "a" },
    });
    const stop = new AbortController();
    let ready = false;
    const done = c.auth
      .announcer(() => server, new Leaving())
      .run(stop.signal, () => {
        ready = true;
      });
    await turn();
    assert.ok(ready);
    for (let t = 0; t < 60; t += 8) {
      await c.clock.advance(8 * second);
      await turn();
    }
    assert.equal((await c.admin["auth_servers.list"]({})).length, 1);
    stop.abort();
    await done;
    assert.deepEqual(await c.admin["auth_servers.list"]({}), []);
  });
});
