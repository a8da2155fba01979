import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { systemRandom } from "#core/random";
import { openAdmin } from "#daemon";
import { type Draft, stamp } from "#events";
import { noMounts, skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { run } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { configText, eventsIn, freePorts, pause, startCluster, teleport, until } from "./cluster.ts";

const refusal = (error: string): Draft => ({
  code: "T3007W",
  user: "x",
  "addr.remote": "127.0.0.1:1",
  server_id: "s",
  success: "false",
  error,
});

suite("kill -9 of the daemon", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  test("loses no acknowledged event, leaves no torn log, and what it cut off is told and kept", async () => {
    await using cluster = await startCluster();
    // A session that the end of the daemon will cut off.
    await using session = await Program.start("ssh", [
      ...cluster.sshOptions(cluster.joe),
      "-tt",
      "testnode.main",
      "echo cut-$((40 + 2)); sleep 60",
    ]);
    await session.line(/cut-42/);
    const { sid } = await cluster.event((event) => event.code === "T2000I");

    const acknowledged: string[] = [];
    const auth = await openAdmin({
      dataDir: cluster.dataDir,
      addresses: [{ host: "127.0.0.1", port: cluster.ports.auth }],
      version: "5.0.0",
    });
    assert.ok(auth);
    const world = { clock: systemClock, random: systemRandom };
    const sender = async (): Promise<void> => {
      while (true) {
        const events = Array.from({ length: 5 }, () => stamp(refusal("e"), world));
        await auth["audit.emit"]({ events });
        for (const { uid } of events) acknowledged.push(uid);
      }
    };
    const senders = Promise.allSettled(Array.from({ length: 8 }, sender));
    await until(async () => acknowledged.length > 500);
    cluster.daemon.kill("SIGKILL");
    await senders;
    auth.close();
    await cluster.daemon.ended();

    await cluster.restart();
    const kept = new Set(cluster.events().map(({ uid }) => uid));
    assert.deepEqual(
      acknowledged.filter((uid) => !kept.has(uid)),
      [],
    );
    await cluster.event((event) => event.code === "T2004I" && event.sid === sid);
    const store = join(cluster.dataDir, "log", "sessions", "default");
    await until(async () => existsSync(join(store, `${sid}.session.bytes`)));
    const spool = join(cluster.dataDir, "log", "upload", "sessions", "default");
    await until(async () => readdirSync(spool).length === 0);
    const again = await cluster.ssh(cluster.joe, "testnode.main", "echo back");
    assert.deepEqual([again.code, again.out], [0, "back\n"], again.err);
    assert.doesNotMatch(cluster.said(), /^\s+at /m);
  });

  test("in the middle of its start, any number of times, harms nothing", async () => {
    await using folder = await tempDir();
    await writeFile(folder.at("t.yaml"), configText(await freePorts(), folder.at("data")));
    for (const wait of [500, 700, 900]) {
      await using daemon = await Program.start(teleport, ["start", "-c", folder.at("t.yaml")]);
      await pause(wait);
      daemon.kill("SIGKILL");
      await daemon.ended();
    }
    await using daemon = await Program.start(teleport, ["start", "-c", folder.at("t.yaml")]);
    await daemon.line(/\[SSH\] .*Service is starting on/);
  });
});

suite("a full disk", { skip: noMounts() }, () => {
  /** The daemon with a data folder on a small disk of its own. */
  const onSmallDisk = (folder: { at(name: string): string }, prepare = ""): readonly [string, string[]] => [
    "unshare",
    [
      "-m",
      "sh",
      "-c",
      `mount -t tmpfs -o size=12m none ${folder.at("disk")} && ${prepare} exec ${teleport} start -c ${folder.at("t.yaml")}`,
    ],
  ];

  test("at the start is one sentence", async () => {
    await using folder = await tempDir();
    await mkdir(folder.at("disk"));
    await writeFile(folder.at("t.yaml"), configText(await freePorts(), folder.at("disk/data")));
    const prepare = `{ cat /dev/zero > ${folder.at("disk/fill")} 2>/dev/null; true; } &&`;
    const ran = await run(...onSmallDisk(folder, prepare), { timeout: 30_000 });
    assert.equal(ran.code, 1, ran.err);
    assert.match(ran.err, /^error: .*disk is full.*\n$/);
  });

  test("that fills up while it runs is reported, kills nothing, and loses nothing that was acknowledged", async () => {
    await using folder = await tempDir();
    await mkdir(folder.at("disk"));
    const ports = await freePorts();
    await writeFile(folder.at("t.yaml"), configText(ports, folder.at("disk/data")));
    await using daemon = await Program.start(...onSmallDisk(folder));
    await daemon.line(/\[SSH\] .*Service is starting on/);
    const root = `/proc/${daemon.pid}/root`;
    const log = join(root, folder.at("disk/data/log"));
    const auth = await openAdmin({
      dataDir: join(root, folder.at("disk/data")),
      addresses: [{ host: "127.0.0.1", port: ports.auth }],
      version: "5.0.0",
    });
    assert.ok(auth);
    const world = { clock: systemClock, random: systemRandom };
    const acknowledged: string[] = [];
    const emit = async (error: string): Promise<void> => {
      const event = stamp(refusal(error), world);
      await auth["audit.emit"]({ events: [event] });
      acknowledged.push(event.uid);
    };
    await emit("before");
    const fill = join(root, folder.at("disk/fill"));
    try {
      writeFileSync(fill, Buffer.alloc(16 << 20));
    } catch {
      // As much as there is room for.
    }
    // Room that the file's last block still has is used up first.
    await assert.rejects(
      (async () => {
        for (let i = 0; i < 200; i++) await emit("x".repeat(1000));
      })(),
      /cannot be written|log says why/,
    );
    await daemon.line(/ERROR .*audit event not kept.*disk is full/);
    // Longer than the heartbeats of its members.
    await pause(6000);
    assert.equal((await auth["cluster.status"]({})).cluster_name, "main");
    rmSync(fill);
    await emit("after");
    const kept = new Set(eventsIn(log).map(({ uid }) => uid));
    assert.deepEqual(
      acknowledged.filter((uid) => !kept.has(uid)),
      [],
    );
    auth.close();
    assert.doesNotMatch(daemon.said, /^\s+at /m);
  });
});
