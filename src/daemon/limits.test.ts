import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Registry } from "prom-client";
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { Gate } from "#net";
import { LimitMetrics } from "./limits.ts";

suite("metrics of the limits", () => {
  test("every series is there before anything happened, and no stranger can make another (S70)", async () => {
    const registry = new Registry();
    const meter = new LimitMetrics(registry).of("node");
    const series = async (): Promise<string[]> =>
      (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const before = await series();
    assert.ok(before.includes('teleport_ssh_connections_refused_total{service="node",reason="penalty"} 0'));
    assert.ok(before.includes('teleport_ssh_logins_total{service="node",outcome="late"} 0'));
    assert.ok(before.includes('teleport_ssh_limit_reached_total{service="node",limit="buffered"} 0'));
    for (let i = 0; i < 1000; i++) {
      meter.onRefused("unauthenticated");
      meter.onLogin("refused", 20);
      meter.onLimit("sessions");
    }
    const after = await series();
    assert.equal(after.length, before.length);
    assert.ok(after.includes('teleport_ssh_limit_reached_total{service="node",limit="sessions"} 1000'));
  });

  test("gauges show a gate as it is when asked", async () => {
    const registry = new Registry();
    const metrics = new LimitMetrics(registry);
    const gate = new Gate({
      maxConnections: 10,
      clock: new TestClock(),
      random: systemRandom,
      log: silentLog,
    });
    metrics.of("proxy").show(gate);
    const entry = gate.enter("192.0.2.1");
    assert.ok(typeof entry !== "string");
    assert.match(await registry.metrics(), /teleport_ssh_connections_unauthenticated\{service="proxy"\} 1/);
    entry.guest.failed("broken");
    const text = await registry.metrics();
    assert.match(text, /teleport_ssh_connections_unauthenticated\{service="proxy"\} 0/);
    assert.match(text, /teleport_ssh_connections\{service="proxy"\} 1/);
    assert.match(text, /teleport_ssh_penalized_sources\{service="proxy"\} 1/);
    assert.doesNotMatch(text, /192\.0\.2\.1/);
  });
});
