import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { MirrorChange } from "#contract/auth";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { Queue } from "#core/queue";
import { ClusterConfig, Role } from "#model";
import { Mirror } from "./index.ts";

const config: MirrorChange = {
  type: "put",
  kind: "cluster_config",
  value: ClusterConfig.parse({ cluster_id: "1", cluster_name: "main" }),
};
const role = (name: string): MirrorChange => ({
  type: "put",
  kind: "role",
  value: Role.parse({ kind: "role", version: "v3", metadata: { name }, spec: {} }),
});

/** An auth server whose watches the test feeds by hand. */
function auth() {
  const watches: Queue<MirrorChange>[] = [];
  return {
    watches,
    "mirror.watch": (_input: unknown, signal?: AbortSignal) => {
      const queue = new Queue<MirrorChange>();
      signal?.addEventListener("abort", () => queue.end(), { once: true });
      watches.push(queue);
      return queue;
    },
  };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

suite("mirror", () => {
  test("is ready when the first list is complete, and follows changes", async () => {
    const client = auth();
    const clock = new TestClock();
    const mirror = new Mirror({ client, clock, log: silentLog });
    const stop = new AbortController();
    let ready = false;
    let told = 0;
    mirror.onChange(() => told++);
    const done = mirror.run(stop.signal, () => {
      ready = true;
    });
    const watch = client.watches[0] as Queue<MirrorChange>;
    for (const change of [{ type: "reset" } as const, config, role("admin")]) watch.push(change);
    await turn();
    assert.equal(ready, false);
    assert.throws(
      () => mirror.config(),
      (err) => Fault.is(err, "unreachable"),
    );
    watch.push({ type: "live" });
    await turn();
    assert.equal(ready, true);
    assert.equal(mirror.config().cluster_name, "main");
    assert.equal(mirror.role("admin")?.metadata.name, "admin");
    watch.push({ type: "delete", kind: "role", name: "admin" });
    await turn();
    assert.equal(mirror.role("admin"), undefined);
    assert.equal(told, 2);
    stop.abort();
    await done;
  });

  test("keeps the last copy while auth is away, and takes a new list whole", async () => {
    const client = auth();
    const clock = new TestClock();
    const mirror = new Mirror({ client, clock, log: silentLog });
    const stop = new AbortController();
    const done = mirror.run(stop.signal, () => {});
    for (const change of [config, role("old"), { type: "live" } as const]) client.watches[0]?.push(change);
    await turn();
    client.watches[0]?.end(new Fault("unreachable", "gone"));
    await turn();
    assert.equal(mirror.connected, false);
    assert.ok(mirror.role("old"));
    await clock.advance(1 * second);
    for (const change of [config, role("new")]) client.watches[1]?.push(change);
    await turn();
    assert.ok(mirror.role("old"), "half a list is not shown");
    client.watches[1]?.push({ type: "live" });
    await turn();
    assert.equal(mirror.role("old"), undefined);
    assert.ok(mirror.role("new"));
    stop.abort();
    await done;
  });

  test("a watch that falls silent is replaced", async () => {
    const client = auth();
    const clock = new TestClock();
    const mirror = new Mirror({ client, clock, log: silentLog });
    const stop = new AbortController();
    const done = mirror.run(stop.signal, () => {});
    for (const change of [config, { type: "live" } as const]) client.watches[0]?.push(change);
    await turn();
    for (let i = 0; i < 8; i++) await clock.advance(5 * second);
    assert.ok(client.watches.length >= 2);
    stop.abort();
    await done;
  });
});
