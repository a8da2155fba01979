import assert from "node:assert/strict";
import { readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { mustRun } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { startCluster } from "./cluster.ts";
import { programs, quiet, startDaemon, startHost } from "./daemon.ts";

/** Series → value. */
const seriesOf = (text: string): Map<string, number> =>
  new Map([...text.matchAll(/^([a-z]\S*) (\S+)$/gm)].map(([, name = "", value]) => [name, Number(value)]));

suite("diagnostics", () => {
  test("ACC-65: /metrics is Prometheus' text, and tells what has happened", async () => {
    await using cluster = await startCluster();
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    await cluster.mustTsh(["ssh", "testnode", "true"]);
    const { status, text } = await cluster.daemon.diag("/metrics");
    assert.equal(status, 200);
    if (!skipUnless("promtool")) await mustRun("promtool", ["check", "metrics"], { input: text });
    const now = seriesOf(text);
    const atLeast = (series: string, least: number): void =>
      assert.ok((now.get(series) ?? -1) >= least, `${series} is ${now.get(series)}, not ${least} or more`);
    // Of the hosts of the cluster and of joe.
    atLeast("auth_generate_requests_total", 5);
    atLeast("auth_generate_seconds_count", 5);
    atLeast("backend_read_requests_total", 1);
    atLeast("backend_write_seconds_count", 1);
    atLeast("audit_server_open_files", 1);
    atLeast("audit_percentage_disk_space_used", 0.01);
    atLeast("rx", 1000);
    atLeast("tx", 1000);
    atLeast('teleport_node_sessions_total{kind="exec"}', 1);
    atLeast('teleport_proxy_dials_total{outcome="success"}', 1);
    atLeast('teleport_ssh_logins_total{service="node",outcome="success"}', 1);
    atLeast('teleport_ssh_login_seconds_count{service="proxy"}', 1);
    atLeast('teleport_auth_call_seconds_count{call="users.list"}', 0);
    atLeast('teleport_web_request_seconds_count{status="2xx"}', 2);
    atLeast('teleport_heartbeats_total{service="node",outcome="good"}', 1);
    atLeast("process_cpu_seconds_total", 0.01);
    atLeast("nodejs_eventloop_lag_seconds", 0);
    for (const [series, value] of [
      ["auth_generate_requests", 0],
      ["auth_generate_requests_throttled_total", 0],
      ["server_interactive_sessions_total", 0],
      ["audit_failed_emit_events", 0],
      ["trusted_clusters", 0],
      ["teleport_mirror_connected", 1],
      ["teleport_ready", 1],
    ] as const)
      assert.equal(now.get(series), value, series);
    assert.doesNotMatch(text, /joe/);
  });

  test("ACC-65: /healthz is ok, and 503 with the reason when a service has failed while others still stop", async () => {
    await using folder = await tempDir();
    const web = await freePort();
    // The web port cannot be had once `fail` is there, and the auth API takes until `stop` is there to end.
    await writeFile(
      folder.at("inject.mjs"),
      `import { existsSync } from "node:fs";
import { Server } from "node:net";
import { Server as TlsServer } from "node:tls";
const { listen, close } = Server.prototype;
const when = (name, then) => {
  const timer = setInterval(() => {
    if (!existsSync(${JSON.stringify(folder.path)} + "/" + name)) return;
    clearInterval(timer);
    then();
  }, 20);
};
Server.prototype.listen = function (at, ...rest) {
  if (at?.port !== ${web}) return listen.call(this, at, ...rest);
  when("fail", () => this.emit("error", new Error("the disk of the web port broke")));
  return this;
};
TlsServer.prototype.close = function (done) {
  when("stop", () => close.call(this, done));
  return this;
};
`,
    );
    const config = folder.at("teleport.yaml");
    const [auth, ssh, node] = await Promise.all([freePort(), freePort(), freePort()]);
    await writeFile(
      config,
      `teleport: {nodename: testnode, data_dir: ${folder.at("data")}}
auth_service: {listen_addr: "127.0.0.1:${auth}"}
proxy_service: {listen_addr: "127.0.0.1:${ssh}", web_listen_addr: "127.0.0.1:${web}"}
ssh_service: {listen_addr: "127.0.0.1:${node}"}
`,
    );
    const command = ["env", `NODE_OPTIONS=--import=${folder.at("inject.mjs")}`, programs.teleport];
    await using daemon = await startDaemon(config, { command });
    await eventually("diagnostics", async () => (await daemon.diag("/healthz")).status === 200);
    await daemon.program.line(/SSH proxy service is starting/);
    const before = await daemon.diag("/readyz");
    assert.equal(before.status, 503);
    assert.match(before.text, /waits for: .*proxy_service/);
    assert.deepEqual((await daemon.diag("/healthz")).json(), { status: "ok" });
    await writeFile(folder.at("fail"), "");
    await eventually("an unhealthy daemon", async () => (await daemon.diag("/healthz")).status === 503);
    assert.match((await daemon.diag("/healthz")).text, /the disk of the web port broke/);
    assert.equal((await daemon.diag("/readyz")).status, 503);
    await writeFile(folder.at("stop"), "");
    await eventually("the end of the daemon", () => daemon.program.hasEnded);
    assert.equal(await daemon.program.ended(), 1);
    assert.match(daemon.program.said, /the disk of the web port broke/);
  });

  test("ACC-65: /readyz is 503 before the join, 200 after, 503 without auth, 400 when it is back", async () => {
    await using folder = await tempDir();
    const authPort = await freePort();
    const token = "a-static-token-of-some-length";
    await using host = await startHost({
      name: "joins",
      role: "node",
      folder: folder.at("joins"),
      authPort,
      flags: [`--token=${token}`],
    });
    const ready = async (status: number): Promise<string> =>
      eventually(
        `/readyz with ${status}`,
        async () => {
          const answer = await host.diag("/readyz").catch(() => undefined);
          return answer?.status === status && answer.text;
        },
        { timeout: 60_000 },
      );
    assert.match(await ready(503), /waits for: ssh_service/);
    assert.equal((await host.diag("/healthz")).status, 200);
    await using cluster = await startCluster({
      config: { auth_service: { listen_addr: `127.0.0.1:${authPort}`, tokens: [`node:${token}`] } },
    });
    assert.equal(await ready(200), '{"status":"ok"}');
    await cluster.daemon.stop();
    assert.match(await ready(503), /degraded state, check logs for details/);
    assert.equal((await host.diag("/healthz")).status, 200, "without auth the process itself is well");
    await using _back = await startDaemon(cluster.config);
    assert.match(await ready(400), /recovering/);
  });

  test("ACC-65: profiles with -d, 404 without", async () => {
    await using folder = await tempDir();
    const flags = ["--roles=node", "--auth-server=127.0.0.1:9", "--token=x", `--nodename=n`];
    const config = async (name: string): Promise<string> => {
      const [path, port] = [folder.at(`${name}.yaml`), await freePort()];
      const text = `teleport: {data_dir: ${folder.at(name)}}\nssh_service: {listen_addr: "127.0.0.1:${port}"}\n`;
      await writeFile(path, text);
      return path;
    };
    await using plain = await startDaemon(await config("plain"), { flags });
    await using debug = await startDaemon(await config("debug"), { flags: [...flags, "-d"] });
    for (const daemon of [plain, debug])
      await eventually("diagnostics", async () => (await daemon.diag("/healthz")).status === 200);
    for (const path of ["", "profile?seconds=1", "heap"])
      assert.equal((await plain.diag(`/debug/pprof/${path}`)).status, 404, path);
    assert.equal((await debug.diag("/debug/pprof/")).status, 200);
    const v8 = (await debug.diag("/debug/pprof/profile?seconds=0.2&format=v8")).json() as {
      nodes: unknown[];
    };
    assert.ok(v8.nodes.length > 0);
    const port = /--diag-addr=(\S+)/.exec(
      (await readFile(`/proc/${debug.program.pid}/cmdline`, "utf8")).replaceAll("\0", " "),
    )?.[1];
    const heap = await fetch(`http://${port}/debug/pprof/heap`);
    assert.ok(gunzipSync(await heap.arrayBuffer()).includes("inuse_space"));
  });

  test("ACC-65: without --diag-addr nothing but the services listens", async () => {
    await using cluster = await startCluster();
    const { auth, proxy, tunnel, web, node } = cluster.ports;
    await cluster.daemon.stop();
    await using daemon = await Program.start(programs.teleport, ["start", "-c", cluster.config], {
      env: quiet,
    });
    const services = [auth, proxy, tunnel, web, node].sort();
    await eventually(
      "every service",
      async () => (await listeningPorts(daemon.pid)).length >= services.length,
    );
    assert.deepEqual(await listeningPorts(daemon.pid), services);
  });
});

/** TCP ports that a process listens on (proc(5), `net/tcp`). */
async function listeningPorts(pid: number): Promise<number[]> {
  const sockets = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const to = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    sockets.add(/^socket:\[(\d+)\]$/.exec(to)?.[1] ?? "");
  }
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => readFile(`/proc/${pid}/net/${name}`, "utf8")),
  );
  const rows = tables
    .flatMap((text) => text.trim().split("\n").slice(1))
    .map((row) => row.trim().split(/\s+/));
  const listening = rows.filter(
    ([, , , state, , , , , , inode = "none"]) => state === "0A" && sockets.has(inode),
  );
  return listening.map(([, local = ""]) => Number.parseInt(local.split(":")[1] ?? "", 16)).sort();
}
