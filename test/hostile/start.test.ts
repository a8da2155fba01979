import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { asRoot } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { run } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { configText, freePorts, tctl, teleport, until } from "./cluster.ts";

suite("teleport start with a wrong configuration file", () => {
  const cases: readonly [what: string, yaml: string, says: RegExp][] = [
    ["an unknown key", "teleport:\n  nodname: x\n", /:2:3: .*"nodname".*nodename/],
    ["a tab", "teleport:\n\tnodename: x\n", /:2:1: .*tab/i],
    ["a list that never ends", "teleport:\n  auth_servers: [a, b\n", /:\d+:\d+: /],
    ["a port too high", "ssh_service:\n  listen_addr: 127.0.0.1:70000\n", /:2:\d+: .*70000/],
    ["text for yes or no", "auth_service:\n  enabled: perhaps\n", /:2:\d+: .*perhaps.*yes/],
    ["a cipher nobody knows", "teleport:\n  ciphers: [rot13]\n", /:2:\d+: .*rot13.*aes/],
    ["a prototype", "teleport:\n  __proto__: {a: b}\n", /:2:3: .*__proto__/],
    ["a bomb of anchors", bomb(), /:\d+:\d+: /],
    ["bytes that are no text", "\u0000\u0001\u0002", /:1:\d+: /],
  ];
  for (const [what, yaml, says] of cases) {
    test(`${what}: place, reason, exit 2, nothing begun`, async () => {
      await using folder = await tempDir();
      await writeFile(folder.at("t.yaml"), yaml);
      const env = { HOME: folder.at("home") };
      const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")], { env, timeout: 20_000 });
      assert.equal(ran.code, 2, ran.err);
      assert.equal(ran.out, "");
      assert.match(ran.err, says);
      assert.ok(ran.err.startsWith(`error: ${folder.at("t.yaml")}:`), ran.err);
      assert.doesNotMatch(ran.err, /^\s+at /m);
      assert.deepEqual(await readdir(folder.path), ["t.yaml"]);
    });
  }

  test("a file of bytes that are not UTF-8", async () => {
    await using folder = await tempDir();
    await writeFile(folder.at("t.yaml"), Buffer.from("teleport:\n  nodename: \xff\xfe\n", "latin1"));
    const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")], { timeout: 20_000 });
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.err, /^error: .*:2:1: .*UTF-8\n$/);
  });

  test("a file that is not there, or is a folder", async () => {
    await using folder = await tempDir();
    for (const path of [folder.at("none.yaml"), folder.path]) {
      const ran = await run(teleport, ["start", "-c", path]);
      assert.equal(ran.code, 2, ran.err);
      assert.match(ran.err, new RegExp(`^error: .*${path}.*\n$`));
    }
  });

  test("a file that this user may not read", { skip: asRoot && "root may read everything" }, async () => {
    await using folder = await tempDir();
    await writeFile(folder.at("t.yaml"), "teleport: {}\n", { mode: 0 });
    const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")]);
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.err, /^error: .*may not.*\n$/);
  });
});

/** A few bytes that would be billions of nodes. */
function bomb(): string {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 12; i++) {
    lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(", ")}]`);
  }
  return `${lines.join("\n")}\nteleport: {}\n`;
}

suite("teleport start on a machine that will not have it", () => {
  for (const [key, port] of [
    ["auth_service.listen_addr", "auth"],
    ["ssh_service.listen_addr", "node"],
    ["proxy_service.listen_addr", "proxy"],
    ["proxy_service.web_listen_addr", "web"],
    ["--diag-addr", "diag"],
  ] as const) {
    test(`a taken port: which, and that ${key} chooses another`, async () => {
      await using folder = await tempDir();
      const ports = await freePorts();
      const taken = createServer().listen(ports[port], "127.0.0.1");
      await once(taken, "listening");
      try {
        await writeFile(folder.at("t.yaml"), configText(ports, folder.at("data")));
        const args = ["start", "-c", folder.at("t.yaml"), `--diag-addr=127.0.0.1:${ports.diag}`];
        const ran = await run(teleport, args, { timeout: 30_000 });
        assert.equal(ran.code, 1, ran.err);
        const complaint = ran.err.split("\n").filter((line) => line.startsWith("error: "));
        assert.equal(complaint.length, 1, ran.err);
        assert.ok(complaint[0]?.includes(`127.0.0.1:${ports[port]}`), ran.err);
        assert.ok(complaint[0]?.includes(key), ran.err);
        assert.doesNotMatch(ran.err, /^\s+at /m);
      } finally {
        taken.close();
      }
    });
  }

  test("two listeners at one port are told of with both keys, before anything is begun", async () => {
    await using folder = await tempDir();
    const ports = await freePorts();
    await writeFile(folder.at("t.yaml"), configText({ ...ports, node: ports.auth }, folder.at("data")));
    const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")], { timeout: 30_000 });
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.err, /^error: ssh_service\.listen_addr .*auth_service\.listen_addr.*\n$/);
    assert.deepEqual(await readdir(folder.path), ["t.yaml"]);
  });

  for (const [what, make] of [
    ["a file", (path: string) => writeFile(path, "")],
    ["below a file", async (path: string) => writeFile(path.replace(/\/data$/, ""), "")],
  ] as const) {
    test(`a data folder that is ${what} is refused with a sentence`, async () => {
      await using folder = await tempDir();
      const dataDir = folder.at("x", "data");
      if (what === "a file") await mkdir(folder.at("x"));
      await make(dataDir);
      await writeFile(folder.at("t.yaml"), configText(await freePorts(), dataDir));
      const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")], { timeout: 30_000 });
      assert.equal(ran.code, 1, ran.err);
      assert.match(ran.err, new RegExp(`^error: .*${dataDir}.*data_dir.*\n$`));
    });
  }

  test("a data folder that may not be written", { skip: asRoot && "root may write everywhere" }, async () => {
    await using folder = await tempDir();
    await mkdir(folder.at("data"));
    await chmod(folder.at("data"), 0o500);
    await writeFile(folder.at("t.yaml"), configText(await freePorts(), folder.at("data")));
    const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")], { timeout: 30_000 });
    assert.equal(ran.code, 1, ran.err);
    assert.match(ran.err, /^error: .*data_dir.*\n$/);
  });

  test("a second daemon of the same file is told of the port; the first and its pid file stay", async () => {
    await using folder = await tempDir();
    const more = [`pid_file: ${folder.at("pid")}`];
    await writeFile(folder.at("t.yaml"), configText(await freePorts(), folder.at("data"), more));
    await using first = await Program.start(teleport, ["start", "-c", folder.at("t.yaml")]);
    await first.line(/\[SSH\] .*Service is starting on/);
    assert.equal(Number(await readFile(folder.at("pid"), "utf8")), first.pid);
    const ran = await run(teleport, ["start", "-c", folder.at("t.yaml")], { timeout: 20_000 });
    assert.equal(ran.code, 1, ran.err);
    assert.match(ran.err, /error: .* is taken by another program; .*auth_service.listen_addr/);
    assert.equal(Number(await readFile(folder.at("pid"), "utf8")), first.pid);
    assert.equal((await run(tctl, ["-c", folder.at("t.yaml"), "status"])).code, 0);
    first.kill("SIGKILL");
    await first.ended();
    await using third = await Program.start(teleport, ["start", "-c", folder.at("t.yaml")]);
    await third.line(/\[SSH\] .*Service is starting on/);
    assert.equal(Number(await readFile(folder.at("pid"), "utf8")), third.pid);
  });

  test("a daemon outlives those who read its output", async () => {
    await using folder = await tempDir();
    const ports = await freePorts();
    await writeFile(folder.at("t.yaml"), configText(ports, folder.at("data"), ["log: {severity: debug}"]));
    const args = ["start", "-c", folder.at("t.yaml"), `--diag-addr=127.0.0.1:${ports.diag}`];
    const daemon = spawn(teleport, args, { stdio: ["ignore", "pipe", "pipe"] });
    try {
      daemon.stdout.destroy();
      daemon.stderr.destroy();
      await until(async () => (await run(tctl, ["-c", folder.at("t.yaml"), "status"])).code === 0);
      assert.equal(daemon.exitCode, null);
    } finally {
      daemon.kill("SIGKILL");
      if (daemon.exitCode === null && daemon.signalCode === null) await once(daemon, "exit");
    }
  });
});
