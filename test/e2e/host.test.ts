import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import { asRoot, findProgram, skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { mustRun } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { startCluster } from "./cluster.ts";
import { programs, quiet, startDaemon } from "./daemon.ts";

const missing = skipUnless("ss");

suite("a host of the cluster", { concurrency: 2 }, () => {
  test("ACC-71: keeps its data closed to others, even under umask 000, and warns of a folder that is open", async () => {
    await using cluster = await startCluster({
      command: ["/bin/sh", "-c", 'umask 000; exec "$0" "$@"', programs.teleport],
    });
    await cluster.makeUser("joe");
    assert.equal((await stat(cluster.dataDir)).mode & 0o777, 0o700);
    const open: string[] = [];
    for (const entry of await readdir(cluster.dataDir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      // The audit log has a mode of its own: its group may read it.
      if (!entry.isFile() || path.startsWith(join(cluster.dataDir, "log/"))) continue;
      const mode = (await stat(path)).mode & 0o777;
      if ((mode & 0o077) !== 0) open.push(`${path} ${mode.toString(8)}`);
    }
    assert.deepEqual(open, []);

    assert.doesNotMatch(cluster.daemon.program.said, /chmod/);
    await cluster.daemon.stop();
    await chmod(cluster.dataDir, 0o755);
    await using again = await Program.start(programs.teleport, ["start", "-c", cluster.config], {
      env: quiet,
    });
    await again.line(/warning: .* 0755.* chmod 700 /);
    await again.line(/\[AUTH\] .*starting/);
  });

  test("ACC-73: TERM and INT end it at once, with code 0, and its sessions with it", async () => {
    await using cluster = await startCluster();
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    await using session = await Program.start(
      programs.tsh,
      ["ssh", "testnode", "echo started; exec sleep 600"],
      {
        env: { ...quiet, HOME: cluster.home },
      },
    );
    await session.line(/started/);
    const asked = performance.now();
    assert.equal(await cluster.daemon.stop("SIGTERM"), 0, cluster.daemon.program.said);
    assert.ok(performance.now() - asked < 5000, `it took ${performance.now() - asked} ms`);
    assert.equal(await session.ended(), 1);

    await using again = await startDaemon(cluster.config);
    await again.ready();
    assert.equal(await again.stop("SIGINT"), 0, again.program.said);
  });

  test("ACC-70: start -d tells on standard error what it does", async () => {
    await using cluster = await startCluster({
      command: ["/bin/sh", "-c", 'exec "$0" "$@" 3>&1 1>/dev/null 2>&3', programs.teleport],
      flags: ["-d"],
    });
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    await cluster.mustTsh(["ssh", "testnode", "true"]);
    await cluster.daemon.program.line(/ DEBUG /);
  });

  test("ACC-65: answers diagnostics where it was told to, and nowhere else", { skip: missing }, async () => {
    await using cluster = await startCluster();
    const { diag, program } = cluster.daemon;
    const metrics = await diag("/metrics");
    assert.equal(metrics.status, 200);
    assert.match(metrics.text, /^# TYPE process_cpu_user_seconds_total counter$/m);
    const health = await diag("/healthz");
    assert.equal(health.status, 200);
    assert.match(health.text, /ok/i);
    assert.equal((await diag("/debug/pprof/")).status, 404);
    assert.equal((await ports(program.pid)).length, 6);
    await cluster.daemon.stop();

    await using bare = await Program.start(programs.teleport, ["start", "-c", cluster.config], {
      env: quiet,
    });
    await bare.line(/Cluster main is up|announced to the cluster[\s\S]*announced to the cluster/);
    const { auth, proxy, tunnel, web, node } = cluster.ports;
    assert.deepEqual(
      await ports(bare.pid),
      [auth, proxy, tunnel, web, node].sort((a, b) => a - b),
    );
  });

  test("ACC-76: listens at the default ports", { skip: missing || withoutNamespaces() }, async () => {
    await using folder = await tempDir();
    const config = folder.at("teleport.yaml");
    await writeFile(config, stringify({ teleport: { data_dir: folder.at("data") } }));
    // A network of its own, so that it does not matter what else listens on this machine.
    await using daemon = await Program.start(
      "unshare",
      ["-n", "sh", "-c", 'ip link set lo up; exec "$0" "$@"', programs.teleport, "start", "-c", config],
      { env: quiet },
    );
    await daemon.line(/ is up/);
    assert.deepEqual(await ports(daemon.pid), [3022, 3023, 3024, 3025, 3080]);
  });
});

suite("teleport configure", { skip: missing || withoutNamespaces() }, () => {
  test("CFG-130: prints a file that --test passes and start accepts", async () => {
    await using folder = await tempDir();
    const env = { ...quiet, HOME: folder.at("home") };
    const sample = await mustRun(programs.teleport, ["configure"], { env });
    const config = folder.at("teleport.yaml");
    await writeFile(
      config,
      sample
        .replace("/var/lib/teleport\n", `${folder.at("data")}\n`)
        .replace("/var/run/teleport.pid", folder.at("pid")),
    );
    const tested = await mustRun(programs.teleport, ["configure", "--test", config], { env });
    assert.match(tested, /can be started with/);
    assert.deepEqual(await readdir(folder.path), ["teleport.yaml"]);
    await using daemon = await Program.start(
      "unshare",
      ["-n", "sh", "-c", 'ip link set lo up; exec "$0" "$@"', programs.teleport, "start", "-c", config],
      { env },
    );
    await daemon.line(/ is up/);
    assert.doesNotMatch(daemon.said, /^error/m);
  });
});

suite("a daemon that is not root's", { skip: withoutUsers() }, () => {
  test("ACC-79: serves the login of its own user, and no other", async () => {
    await using user = await newUser();
    await using cluster = await startCluster({
      command: [
        "setpriv",
        `--reuid=${user.name}`,
        `--regid=${user.name}`,
        "--clear-groups",
        programs.teleport,
      ],
      prepare: async (folder) => {
        await mustRun("chown", ["-R", user.name, folder.path]);
      },
    });
    await cluster.makeUser("joe", [user.name, "root"]);
    await cluster.logIn("joe");
    const own = await cluster.tsh(["ssh", `${user.name}@testnode`, "id -un; exit 6"]);
    assert.deepEqual([own.code, own.out], [6, `${user.name}\n`], own.err);
    const { exitCode } = await cluster.event("exec", (e) => e.event === "exec" && e.login === user.name);
    assert.equal(exitCode, 6);
    const other = await cluster.tsh(["ssh", "root@testnode", "id -un"]);
    assert.notEqual(other.code, 0, other.out);
    assert.equal(other.out, "");
  });
});

/** A user of this machine for as long as the test goes on. */
async function newUser(): Promise<AsyncDisposable & { readonly name: string }> {
  const name = `tele-${process.pid}`;
  await mustRun("useradd", [
    "--no-create-home",
    "--home-dir",
    "/tmp",
    "--shell",
    "/bin/sh",
    "--user-group",
    name,
  ]);
  return {
    name,
    async [Symbol.asyncDispose]() {
      await mustRun("userdel", [name]);
    },
  };
}

function withoutUsers(): string | false {
  return asRoot ? skipUnless("useradd", "userdel", "setpriv") : "only root can make a user";
}

/** TCP ports that a process listens on, in order. */
async function ports(pid: number): Promise<number[]> {
  const lines = await mustRun("nsenter", ["-t", String(pid), "-n", "ss", "-Hltnp"]);
  return lines
    .split("\n")
    .filter((line) => line.includes(`pid=${pid},`))
    .map((line) => Number(/:(\d+)\s/.exec(line)?.[1]))
    .sort((a, b) => a - b);
}

/** Why no network of its own can be made here, false when it can. */
function withoutNamespaces(): string | false {
  if (!asRoot) return "only root can make a network of its own";
  const lacking = skipUnless("unshare", "nsenter", "ip");
  if (lacking) return lacking;
  try {
    execFileSync(findProgram("unshare") as string, ["-n", "true"], { stdio: "ignore" });
    return false;
  } catch {
    return "this machine makes no network namespaces";
  }
}
