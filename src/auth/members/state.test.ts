import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Alive, MirrorChange } from "#contract/auth";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import { Queue } from "#core/queue";
import { Node } from "#model";
import { account, type Cluster, cluster, hostId, role } from "../testing/cluster.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const node = Node.parse({
  kind: "node",
  version: "v2",
  metadata: { name: hostId },
  spec: { hostname: "db" },
});

/** Reads a watch into a list until stopped. */
function reading(c: Cluster, as: "proxy" | "node" = "proxy") {
  const stop = new AbortController();
  const seen: MirrorChange[] = [];
  const done = (async () => {
    for await (const change of c[as]["mirror.watch"]({}, stop.signal)) seen.push(change);
  })();
  const lines = (): string[] =>
    seen.map((s) =>
      s.type === "put"
        ? `+${s.kind} ${"metadata" in s.value ? s.value.metadata.name : ""}`.trim()
        : s.type === "delete"
          ? `-${s.kind} ${s.name}`
          : s.type,
    );
  const end = async (): Promise<void> => {
    stop.abort();
    await done;
  };
  return { seen, lines, stop: end, until };
  async function until(line: string): Promise<void> {
    for (let i = 0; i < 1000 && !lines().includes(line); i++) await turn();
    assert.ok(lines().includes(line), `${line} in ${lines().join()}`);
  }
}

suite("what members mirror", () => {
  test("a list, then live, then every change until the reader stops", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const r = reading(c);
    await r.until("live");
    assert.deepEqual(r.lines(), [
      "reset",
      "+cluster_config",
      "+cert_authority main",
      "+cert_authority main",
      "+role admin",
      "+user joe",
      "live",
    ]);
    await c.admin["roles.put"]({ role: role("ops", {}) });
    await c.node["nodes.announce"](node);
    await c.admin["users.delete"]({ name: "joe" });
    await r.until("-user joe");
    assert.deepEqual(r.lines().slice(7), ["+role ops", `+node ${hostId}`, "-user joe"]);
    await r.stop();
  });

  test("being alive is no change, being gone is one", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node);
    const r = reading(c);
    await r.until("live");
    for (let t = 0; t < 20; t += 5) {
      await c.clock.advance(5 * second);
      await c.alive(hostId);
    }
    await c.node["nodes.announce"](node);
    await turn();
    assert.equal(r.lines().filter((l) => l === `+node ${hostId}`).length, 1);
    await c.clock.advance(31 * second);
    await r.until(`-node ${hostId}`);
    await r.stop();
  });

  test("beats every five seconds", async () => {
    await using c = await cluster();
    const r = reading(c);
    await r.until("live");
    for (let i = 0; i < 3; i++) {
      await c.clock.advance(5 * second);
      await turn();
    }
    assert.equal(r.lines().filter((l) => l === "beat").length, 3);
    await r.stop();
  });

  test("who talks is answered every fourth time, or when a record is lost, and is let go when silent for 30 s", async () => {
    await using c = await cluster();
    const said = new Queue<Alive>();
    const seen: string[] = [];
    const done = (async () => {
      for await (const { type } of c.node["mirror.watch"]({}, undefined, () => said)) seen.push(type);
    })();
    const count = (type: string): number => seen.filter((one) => one === type).length;
    for (let i = 0; i < 20; i++) await turn();
    for (const [kinds, beats, announces] of [
      [[], 1, 0],
      [[], 1, 0],
      [[], 1, 0],
      [[], 1, 0],
      [[], 2, 0],
      [["node"], 2, 1],
      [["node"], 2, 2],
      [[], 2, 2],
      [[], 2, 2],
      [[], 2, 2],
      [[], 3, 2],
    ] as const) {
      said.push({ type: "alive", kinds: [...kinds] });
      for (let k = 0; k < 20; k++) await turn();
      assert.deepEqual([count("beat"), count("announce")], [beats, announces]);
      await c.clock.advance(5 * second);
      for (let k = 0; k < 20; k++) await turn();
    }
    for (let t = 5; t < 30; t += 5) {
      await c.clock.advance(5 * second);
      for (let k = 0; k < 20; k++) await turn();
    }
    await done;
    assert.deepEqual([count("beat"), count("announce")], [3, 2]);
    said.end();
  });

  test("nodes are not told of nodes, which they do not route to", async () => {
    await using c = await cluster();
    await c.node["nodes.announce"](node);
    const r = reading(c, "node");
    await r.until("live");
    await c.admin["users.put"]({ user: account("joe") });
    await r.until("+user joe");
    assert.ok(!r.lines().some((l) => l.startsWith("+node")));
    await r.stop();
  });

  test("S34: no private key is ever told", async () => {
    await using c = await cluster();
    const r = reading(c);
    await r.until("live");
    const { store } = c.auth.parts;
    await store.authorities.put(await store.authorities.get("user/main"));
    const ca = await store.authorities.get("host/main");
    await store.authorities.put({ ...ca, spec: { ...ca.spec, roles: ["x"] } });
    for (let i = 0; i < 20; i++) await turn();
    assert.ok(r.seen.some((s) => s.type === "put" && s.kind === "cert_authority" && s.value.spec.roles));
    assert.ok(!JSON.stringify(r.seen).includes("PRIVATE KEY"));
    assert.ok(!JSON.stringify(c.auth.authorities()).includes("PRIVATE KEY"));
    await r.stop();
  });

  test("after the storage's watch was lost, everything is told anew", async () => {
    await using c = await cluster();
    const r = reading(c);
    await r.until("live");
    const watch = c.backend.watch.bind(c.backend);
    let broken = false;
    c.backend.watch = async (prefix, options) => {
      broken = true;
      return watch(prefix, options);
    };
    // A follower that fell behind the history kept is told so by the storage.
    await overflow(c);
    for (let i = 0; i < 20 && !broken; i++) {
      await c.clock.advance(1 * second);
      for (let k = 0; k < 20; k++) await turn();
    }
    assert.ok(broken);
    await r.until("+role last");
    assert.ok(c.log.lines.some((line) => line.level === "warn" && /lost the watch/.test(line.message)));
    assert.equal(c.auth.authorities().length, 2);
    await r.stop();
  });

  test("people and strangers may not watch", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    for (const who of [c.user("joe"), c.stranger])
      await assert.rejects(
        async () => {
          for await (const _ of who["mirror.watch"]({})) break;
        },
        (err) => Fault.is(err, "access_denied"),
      );
  });
});

/** More changes in one turn than the storage keeps. */
async function overflow(c: Cluster): Promise<void> {
  const noise = (i: number) =>
    Array.from({ length: 64 }, (_, k) => ({
      type: "put" as const,
      item: { key: `/noise/${k}`, value: new Uint8Array([i]) },
    }));
  await Promise.all(Array.from({ length: 400 }, (_, i) => c.backend.commit(noise(i))));
  await c.auth.parts.store.roles.put(role("last", {}));
}
