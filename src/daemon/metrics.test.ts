import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { suite, test } from "node:test";
import { authContract } from "#contract/auth";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Metrics } from "./metrics.ts";

/** Series → value; what carries no number is left out. */
async function read({ registry }: Metrics): Promise<Map<string, number>> {
  const lines = (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const [, series = "", value = ""] = /^(\S+) (\S+)$/.exec(line) ?? [];
      return [series, Number(value)];
    }),
  );
}

const made = (): Metrics => new Metrics({ version: "5.0.0" });

suite("metrics", () => {
  test("requests for certificates, while they are worked on and after", async () => {
    const metrics = made();
    metrics.issuing.begun();
    assert.equal((await read(metrics)).get("auth_generate_requests"), 1);
    metrics.issuing.done(20);
    metrics.issuing.throttled();
    const now = await read(metrics);
    assert.equal(now.get("auth_generate_requests"), 0);
    assert.equal(now.get("auth_generate_requests_total"), 2);
    assert.equal(now.get("auth_generate_requests_throttled_total"), 1);
    assert.equal(now.get('auth_generate_seconds_bucket{le="0.01"}'), 0);
    assert.equal(now.get('auth_generate_seconds_bucket{le="0.025"}'), 1);
  });

  test("reads and writes of the storage", async () => {
    const metrics = made();
    metrics.storage.read(1);
    metrics.storage.read(30);
    metrics.storage.wrote(3000);
    const now = await read(metrics);
    assert.equal(now.get("backend_read_requests_total"), 2);
    assert.equal(now.get("backend_read_seconds_sum"), 0.031);
    assert.equal(now.get("backend_write_requests_total"), 1);
    assert.equal(now.get('backend_write_seconds_bucket{le="2.5"}'), 0);
  });

  test("sessions by kind; those with a terminal under the guide's name, as many as are open", async () => {
    const metrics = made();
    const ended = metrics.sessions.began("terminal");
    metrics.sessions.began("terminal");
    metrics.sessions.began("sftp");
    assert.equal((await read(metrics)).get("server_interactive_sessions_total"), 2);
    ended();
    const now = await read(metrics);
    assert.equal(now.get("server_interactive_sessions_total"), 1);
    assert.equal(now.get('teleport_node_sessions_total{kind="terminal"}'), 2);
    assert.equal(now.get('teleport_node_sessions{kind="terminal"}'), 1);
    assert.equal(now.get('teleport_node_sessions{kind="sftp"}'), 1);
    assert.equal(now.get('teleport_node_sessions{kind="exec"}'), 0);
  });

  test("bytes of connections, of those that are open as they are now", async () => {
    const metrics = made();
    const socket = Object.assign(new EventEmitter(), { bytesRead: 10, bytesWritten: 1 });
    metrics.traffic.add(socket);
    socket.bytesRead = 100;
    assert.equal((await read(metrics)).get("rx"), 100);
    socket.bytesWritten = 7;
    socket.emit("close");
    const now = await read(metrics);
    assert.deepEqual([now.get("rx"), now.get("tx")], [100, 7]);
  });

  test("dials and heartbeats by how they went", async () => {
    const metrics = made();
    metrics.dials("success", 3);
    metrics.dials("unreachable", 30_000);
    const told: string[] = [];
    const beats = metrics.heartbeats("node", {
      good: () => told.push("good"),
      lost: () => told.push("lost"),
    });
    beats.good();
    beats.lost();
    const now = await read(metrics);
    assert.equal(now.get('teleport_proxy_dials_total{outcome="unreachable"}'), 1);
    assert.equal(now.get("teleport_proxy_dial_seconds_count"), 2);
    assert.equal(now.get('teleport_heartbeats_total{service="node",outcome="lost"}'), 1);
    assert.deepEqual(told, ["good", "lost"]);
  });

  test("numbers that are read when asked for; one that cannot be read is not there, nor is one of a service that does not run", async () => {
    const metrics = made();
    metrics.show("audit_failed_emit_events", () => 3);
    metrics.show("audit_percentage_disk_space_used", () => Promise.reject(new Error("the folder is gone")));
    let copies: number | undefined = 1;
    metrics.show("teleport_mirror_connected", () => copies);
    const now = await read(metrics);
    assert.equal(now.get("audit_failed_emit_events"), 3);
    assert.equal(now.get("teleport_mirror_connected"), 1);
    assert.ok(!now.has("audit_percentage_disk_space_used"));
    assert.ok(!now.has("trusted_clusters"));
    copies = undefined;
    assert.ok(!(await read(metrics)).has("teleport_mirror_connected"));
  });

  test("calls of the auth API by name and by why they failed", async () => {
    const metrics = made();
    const clock = new TestClock();
    const fail = (): Promise<never> => Promise.reject(new Fault("not_found", "no"));
    const handlers = Object.fromEntries(Object.keys(authContract).map((name) => [name, fail]));
    const counted = metrics.calls.ofHandlers(handlers as never, clock);
    await assert.rejects(counted["nodes.list"]({} as never, {} as never, new AbortController().signal));
    const now = await read(metrics);
    assert.equal(now.get('teleport_auth_call_failures_total{call="nodes.list",kind="not_found"}'), 1);
    assert.equal(now.get('teleport_auth_call_seconds_count{call="nodes.list"}'), 1);
    assert.equal(now.get('teleport_auth_call_seconds_count{call="proxies.list"}'), 0);
  });

  test("requests of the web port by the class of their answer", async () => {
    const metrics = made();
    const clock = new TestClock();
    const app = metrics.calls.ofWeb({ ready: async () => {}, routing() {} }, clock);
    const response = Object.assign(new EventEmitter(), { statusCode: 404 });
    app.routing({} as never, response as never);
    response.emit("close");
    assert.equal((await read(metrics)).get('teleport_web_request_seconds_count{status="4xx"}'), 1);
  });

  test("they keep the rules of Prometheus' text: help, type, one block each, names and units", async () => {
    const metrics = made();
    metrics.addProcess();
    metrics.limits.of("node");
    const blocks = (await metrics.registry.metrics()).trimEnd().split("\n\n");
    const seen = new Set<string>();
    for (const block of blocks) {
      const [help = "", type = "", ...series] = block.split("\n");
      const [, name = "", kind = ""] = /^# TYPE (\S+) (counter|gauge|histogram|untyped)$/.exec(type) ?? [];
      assert.match(name, /^[a-z][a-z0-9_]*$/, type);
      assert.ok(help.startsWith(`# HELP ${name} `) && help.length > name.length + 12, help);
      assert.ok(!seen.has(name), name);
      seen.add(name);
      if (kind === "counter") assert.match(name, /_total$/);
      else if (kind !== "untyped") assert.doesNotMatch(name, /_(total|count|sum|bucket)$/);
      if (kind === "histogram") assert.match(name, /_seconds$/);
      for (const line of series)
        assert.match(line, /^[a-z0-9_]+(\{([a-z]+="[\w.:+ -]*",?)+\})? (\d\S*|-\d\S*|Nan|\+Inf)$/);
    }
    for (const name of ["process_cpu_seconds_total", "process_open_fds", "nodejs_eventloop_lag_seconds"])
      assert.ok(seen.has(name), name);
  });
});
