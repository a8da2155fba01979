import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { isAlive } from "../support/processes.ts";
import { Program } from "../support/program.ts";
import { mustRun, run } from "../support/run.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

const folder = join(import.meta.dirname, "../../systemd");

suite("as a service of systemd", { concurrency: 2 }, () => {
  test("ACC-01: what the unit says starts the daemon, reloads it, and starts it again after a crash", async () => {
    const unit = await readUnit("teleport.service");
    assert.equal(unit.Unit?.After, "network.target");
    assert.ok(unit.Unit?.Description);
    assert.deepEqual(
      [unit.Service?.Type, unit.Service?.Restart, unit.Install?.WantedBy],
      ["simple", "on-failure", "multi-user.target"],
    );
    assert.equal(unit.Service?.PIDFile, "/var/run/teleport.pid");
    assert.equal(
      unit.Service?.ExecStart,
      "/usr/local/bin/teleport start --config=/etc/teleport.yaml --pid-file=/var/run/teleport.pid",
    );

    await using cluster = await configured();
    const pidFile = cluster.folder.at("pid");
    const pid = async (): Promise<number> => Number(await readFile(pidFile, "utf8"));
    const [command = "", ...args] = (unit.Service?.ExecStart ?? "")
      .replace("/usr/local/bin/teleport", programs.teleport)
      .replace("/etc/teleport.yaml", cluster.config)
      .replace("/var/run/teleport.pid", pidFile)
      .split(" ");
    const start = (): Promise<Program> => Program.start(command, args, { env: quiet });
    {
      await using daemon = await start();
      const main = await eventually("a pid", async () => (await pid().catch(() => 0)) || undefined);
      assert.equal(main, daemon.pid);
      await mustRun("/bin/sh", ["-c", unit.Service?.ExecReload ?? ""], { env: { MAINPID: String(main) } });
      const next = await eventually("the pid of another process", async () => {
        const now = await pid();
        return now !== main && now;
      });
      // systemd looks for the main process in the pid file when the one it knows has ended.
      await eventually("an end of the first process", () => !isAlive(main));
      assert.equal((await cluster.web("/webapi/ping")).status, 200);
      process.kill(next, "SIGKILL");
      await eventually("an end by KILL", () => !isAlive(next));
    }
    await using again = await start();
    await eventually("the pid of the daemon after a crash", async () => (await pid()) === again.pid);
    await eventually("a ping", async () => (await cluster.web("/webapi/ping")).status === 200);
  });

  const missing = skipUnless("systemd-notify", "python3");
  test("Type=notify: READY, RELOADING with its time, the main pid of the new process, STOPPING", {
    skip: missing,
  }, async () => {
    const { Service } = await readUnit("teleport-notify.service");
    assert.deepEqual([Service?.Type, Service?.NotifyAccess], ["notify", "all"]);
    await using cluster = await configured();
    const socket = cluster.folder.at("notify");
    await using manager = await Program.start("python3", ["-c", receiver, socket]);
    await manager.line(/listening\n/);
    await using daemon = await Program.start(programs.teleport, ["start", "-c", cluster.config], {
      env: { ...quiet, NOTIFY_SOCKET: socket },
    });
    await manager.line(/^told READY=1\n/m);
    assert.equal((await cluster.web("/webapi/ping")).status, 200);

    const before = process.hrtime.bigint() / 1000n;
    daemon.kill("SIGHUP");
    const [, at] = await manager.line(/^told RELOADING=1 MONOTONIC_USEC=(\d+)\n/m);
    assert.ok(BigInt(at ?? 0) >= before && BigInt(at ?? 0) <= process.hrtime.bigint() / 1000n);
    const [, main] = await manager.line(/^told READY=1 MAINPID=(\d+)\n/m);
    assert.notEqual(Number(main), daemon.pid);
    await eventually("an end of the first process", () => !isAlive(daemon.pid));
    assert.doesNotMatch(manager.said, /STOPPING/);

    // A reload that fails is over too, and the process stays the main one.
    const good = await readFile(cluster.config, "utf8");
    await writeFile(cluster.config, "nonsense: yes");
    process.kill(Number(main), "SIGHUP");
    await manager.line(/MAINPID=\d+\ntold RELOADING=1 \S+\ntold READY=1\n/);
    await writeFile(cluster.config, good);

    process.kill(Number(main), "SIGTERM");
    await manager.line(/^told STOPPING=1\n/m);
    await eventually("an end of the second process", () => !isAlive(Number(main)));
  });

  test("the units are what systemd takes", { skip: skipUnless("systemd-analyze") }, async () => {
    await using cluster = await configured();
    for (const name of ["teleport.service", "teleport-notify.service"]) {
      const text = await readFile(join(folder, name), "utf8");
      const more = await readFile(join(folder, "teleport-notify.service.d/without-sessions.conf"), "utf8");
      const path = cluster.folder.at(name);
      // The program it names has to exist.
      await writeFile(path, `${text}\n${more}`.replace("/usr/local/bin/teleport", programs.teleport));
      const { code, out, err } = await run("systemd-analyze", ["verify", "--man=no", path]);
      assert.deepEqual([code, out, err], [0, "", ""]);
    }
  });
});

/** A cluster that has been up once, and whose ports and files are there to be used. */
async function configured(): Promise<Cluster> {
  const cluster = await startCluster();
  await cluster.daemon.stop();
  return cluster;
}

type Unit = Readonly<Record<string, Readonly<Record<string, string>>>>;

async function readUnit(name: string): Promise<Unit> {
  const unit: Record<string, Record<string, string>> = {};
  let section: Record<string, string> = {};
  for (const line of (await readFile(join(folder, name), "utf8")).split("\n")) {
    const head = /^\[(\w+)\]$/.exec(line)?.[1];
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (head !== undefined) {
      section = {};
      unit[head] = section;
    } else if (key !== undefined && value !== undefined) section[key] = value;
  }
  return unit;
}

/** The socket of a service manager: prints a line a message. The descriptor of a barrier is closed, which answers it. */
const receiver = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
    text, fds, _, _ = socket.recv_fds(s, 4096, 4)
    for fd in fds: os.close(fd)
    if not text.startswith(b"BARRIER"): print("told", *text.decode().split(), flush=True)
`;
