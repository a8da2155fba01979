import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Registry } from "prom-client";
import { second, TestClock } from "#core/clock";
import { type Address, formatAddress, listen } from "#net";
import { diagnostics } from "./diagnostics.ts";
import { Health } from "./health.ts";

async function running({ host = "127.0.0.1", profiles = false } = {}) {
  const clock = new TestClock();
  const warned: string[] = [];
  const health = new Health(clock);
  const stop = new AbortController();
  const { promise: at, resolve } = Promise.withResolvers<Address>();
  const done = diagnostics({
    address: { host, port: 0 },
    health,
    metrics: new Registry(),
    profiles,
    clock,
    listen,
    leaving: new AbortController().signal,
    listening: resolve,
    warn: (line) => warned.push(line),
  }).run(stop.signal, () => {});
  const base = `http://${formatAddress(await at)}`;
  return {
    clock,
    health,
    warned,
    get: (path: string, init?: RequestInit) => fetch(base + path, init),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

suite("diagnostics", () => {
  test("healthz is 200 and ok, as text for those who ask for text", async () => {
    await using it = await running();
    const answer = await it.get("/healthz");
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { status: "ok" });
    const text = await it.get("/healthz", { headers: { accept: "text/plain" } });
    assert.equal(await text.text(), "OK");
  });

  test("readyz is 503 and names what is waited for, until it is there", async () => {
    await using it = await running();
    const joined = it.health.expect("proxy_service");
    const before = await it.get("/readyz");
    assert.equal(before.status, 503);
    assert.match(await before.text(), /proxy_service/);
    assert.equal((await it.get("/healthz")).status, 200);
    joined();
    assert.equal((await it.get("/readyz")).status, 200);
  });

  test("a failed service makes both 503, with the reason", async () => {
    await using it = await running();
    it.health.failed("cluster", new Error("the storage is gone"));
    for (const path of ["/healthz", "/readyz"]) {
      const answer = await it.get(path);
      assert.equal(answer.status, 503, path);
      assert.match(await answer.text(), /the storage is gone/);
    }
  });

  test("400 while heartbeats are good again but not for long enough", async () => {
    await using it = await running();
    const beats = it.health.heartbeats("node");
    beats.lost();
    beats.good();
    const answer = await it.get("/readyz");
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /recovering/);
    assert.equal((await it.get("/healthz")).status, 200, "the process itself is well");
  });

  test("metrics are Prometheus text; other paths are not there, other methods not allowed", async () => {
    await using it = await running();
    const metrics = await it.get("/metrics");
    assert.equal(metrics.status, 200);
    assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/);
    assert.equal((await it.get("/debug/pprof/")).status, 404);
    assert.equal((await it.get("/healthz", { method: "POST" })).status, 405);
  });

  test("a warning where others than this machine can read it", async () => {
    await using here = await running();
    assert.deepEqual(here.warned, []);
    await using everywhere = await running({ host: "0.0.0.0" });
    assert.match(everywhere.warned[0] ?? "", /0\.0\.0\.0.*--diag-addr/);
  });
});

suite("profiles", () => {
  test("an index, and what it links to, when asked for by -d", async () => {
    await using it = await running({ profiles: true });
    const index = await it.get("/debug/pprof/");
    assert.equal(index.status, 200);
    assert.match(await index.text(), /href="profile.*href="heap/s);
    const heap = await it.get("/debug/pprof/heap");
    assert.equal(heap.status, 200);
    assert.ok(gunzipSync(await heap.arrayBuffer()).includes("inuse_space"));
    const v8 = (await (await it.get("/debug/pprof/heap?format=v8")).json()) as { head: { id: number } };
    assert.ok(v8.head.id > 0);
    assert.equal((await it.get("/debug/pprof/goroutine")).status, 404);
  });

  test("a CPU profile of as many seconds as asked for, one at a time, up to five minutes", async () => {
    await using it = await running({ profiles: true });
    const asked = it.get("/debug/pprof/profile?seconds=3");
    while (it.clock.sleeping === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    assert.equal((await it.get("/debug/pprof/profile?seconds=1")).status, 409);
    await it.clock.advance(3 * second);
    const profile = await asked;
    assert.equal(profile.status, 200);
    assert.ok(gunzipSync(await profile.arrayBuffer()).includes("nanoseconds"));
    for (const seconds of ["0", "-1", "301", "long"])
      assert.equal((await it.get(`/debug/pprof/profile?seconds=${seconds}`)).status, 400, seconds);
  });

  test("who leaves before the end makes room for the next", async () => {
    await using it = await running({ profiles: true });
    const leave = new AbortController();
    const asked = it.get("/debug/pprof/profile?seconds=300", { signal: leave.signal }).catch(() => "left");
    while (it.clock.sleeping === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    leave.abort();
    assert.equal(await asked, "left");
    let next: Response | undefined;
    while (next?.status !== 200) {
      let answered = false;
      const again = it.get("/debug/pprof/profile?seconds=1&format=v8").finally(() => {
        answered = true;
      });
      while (!answered && it.clock.sleeping === 0)
        await new Promise<void>((resolve) => setImmediate(resolve));
      await it.clock.advance(second);
      next = await again;
    }
    assert.ok(((await next.json()) as { nodes: unknown[] }).nodes.length > 0);
  });
});
