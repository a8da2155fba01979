import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Registry } from "prom-client";
import { second, TestClock } from "#core/clock";
import { type Address, formatAddress, listen } from "#net";
import { diagnostics, Health } from "./diagnostics.ts";

async function running() {
  const clock = new TestClock();
  const health = new Health(clock);
  const stop = new AbortController();
  const { promise: at, resolve } = Promise.withResolvers<Address>();
  const done = diagnostics({
    address: { host: "127.0.0.1", port: 0 },
    health,
    metrics: new Registry(),
    listen,
    leaving: new AbortController().signal,
    listening: resolve,
  }).run(stop.signal, () => {});
  const base = `http://${formatAddress(await at)}`;
  return {
    clock,
    health,
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

  test("so does an event loop that stood still for over 5 s", async () => {
    await using it = await running();
    await it.clock.advance(7 * second);
    assert.equal((await it.get("/healthz")).status, 503);
    const stop = new AbortController();
    const watching = it.health.watchLoop(stop.signal);
    assert.equal((await it.get("/healthz")).status, 200);
    stop.abort();
    await watching;
  });

  test("metrics are Prometheus text; other paths are not there, other methods not allowed", async () => {
    await using it = await running();
    const metrics = await it.get("/metrics");
    assert.equal(metrics.status, 200);
    assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/);
    assert.equal((await it.get("/debug/pprof/")).status, 404);
    assert.equal((await it.get("/healthz", { method: "POST" })).status, 405);
  });
});
