import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { type ANode, startNode } from "./a-node.ts";
import { withoutOpenSsh } from "./openssh.ts";

const asOther = process.getuid?.() === 0 ? {} : { skip: "becoming another user needs root" };

suite("a node and stock ssh", { timeout: 90_000, skip: withoutOpenSsh }, () => {
  let node: ANode;
  before(async () => {
    node = await startNode();
  });
  after(() => node[Symbol.asyncDispose]());

  test("runs a command as the login, in its home, and tells its exit code", async () => {
    const got = await node.ssh([node.target, "id -un; pwd; echo oops >&2; exit 3"]);
    assert.deepEqual([got.out, got.err, got.code], [`${node.login.name}\n${node.home}\n`, "oops\n", 3]);
    const event = await node.event("T3002E");
    assert.equal(event.command, "id -un; pwd; echo oops >&2; exit 3");
    assert.deepEqual(
      [event.exitCode, event.exitError, event.user, event.login],
      [3, "", "alice", node.login.name],
    );
    assert.match(event["addr.remote"], /^127\.0\.0\.1:\d+$/);
    assert.equal(event["addr.local"], `127.0.0.1:${node.port}`);
  });

  test("records what a command says", async () => {
    node.events.length = 0;
    await node.ssh([node.target, "echo recorded"]);
    const { sid } = await node.event("T3002I");
    assert.equal(await readFile(node.spool.path(sid ?? "", "bytes"), "utf8"), "recorded\n");
    const log = (await readFile(node.spool.path(sid ?? "", "log"), "utf8")).trim().split("\n");
    assert.deepEqual(
      log.map((line) => (JSON.parse(line) as { event: string; ei: number }).event),
      ["print", "exec"],
    );
  });

  test("20 MiB through cat, intact, with its end", async () => {
    const data = Buffer.alloc(20 * 1024 * 1024, createHash("sha512").update("x").digest());
    const got = await node.ssh([node.target, "cat"], { input: data });
    assert.equal(got.code, 0);
    assert.equal(
      createHash("sha256").update(got.bytes).digest("hex"),
      createHash("sha256").update(data).digest("hex"),
    );
  });

  test("a signal that ends a command is told", async () => {
    const got = await node.ssh([node.target, "kill -KILL $$"]);
    assert.equal(got.code, 255);
    const event = node.events.findLast((e) => e.code === "T3002E");
    assert.ok(event?.code === "T3002E" && event.exitError.includes("KILL"), JSON.stringify(event));
  });

  test("a command whose client leaves is hung up", async () => {
    const child = node.start([node.target, "echo $$; exec sleep 1000"]);
    let pid = "";
    for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) {
      pid = String(chunk).trim();
      break;
    }
    child.kill("SIGKILL");
    await gone(Number(pid));
  });

  test("S54: the environment is what the session sets, whatever the client sends", async () => {
    const child = await node.ssh([
      ...[
        "-o",
        "SendEnv=LC_ALL",
        "-o",
        "SetEnv=LC_TIME=C LD_PRELOAD=/x NODE_OPTIONS=--inspect PATH=/x FOO=1",
      ],
      node.target,
      "env",
    ]);
    const env = Object.fromEntries(
      child.out
        .trim()
        .split("\n")
        .map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    for (const own of ["PWD", "SHLVL", "_", "OLDPWD"]) delete env[own];
    assert.match(env.SSH_CLIENT, /^127\.0\.0\.1 \d+ \d+$/);
    assert.match(env.SSH_CONNECTION, /^127\.0\.0\.1 \d+ 127\.0\.0\.1 \d+$/);
    assert.match(env.SSH_SESSION_ID, /^[0-9a-f-]{36}$/);
    assert.match(env.PATH, /bin/);
    for (const varying of ["SSH_CLIENT", "SSH_CONNECTION", "SSH_SESSION_ID", "PATH"]) delete env[varying];
    assert.deepEqual(env, {
      LANG: "en_US.UTF-8",
      LC_ALL: "C.UTF-8",
      LC_TIME: "C",
      HOME: node.home,
      USER: node.login.name,
      LOGNAME: node.login.name,
      SHELL: node.login.shell,
      SSH_TELEPORT_USER: "alice",
      SSH_TELEPORT_HOST_UUID: "11111111-2222-4333-8444-555555555555",
      SSH_TELEPORT_CLUSTER_NAME: "main",
    });
  });

  test("a shell on a terminal: its size, its events, its recording", async () => {
    node.events.length = 0;
    const child = node.start(["-tt", node.target]);
    child.stdin?.write("stty size; tty; echo $SSH_TTY $TERM; exit 4\n");
    let seen = "";
    for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) seen += String(chunk);
    const code = child.exitCode ?? (await new Promise((resolve) => child.once("exit", resolve)));
    assert.equal(code, 4);
    assert.match(seen, /\r\n?25 80\r\n(\/dev\/pts\/\d+)\r\n\1 /);
    await node.event("T2006I");
    const codes = node.events.map((e) => e.code);
    assert.deepEqual(codes, ["T2000I", "T2003I", "T2004I", "T2006I"]);
    const start = await node.event("T2000I");
    assert.equal(start.size, "80:25");
    assert.equal(await readFile(node.spool.path(start.sid, "bytes"), "utf8"), seen);
    const data = await node.event("T2006I");
    assert.deepEqual([data.tx, data.rx], [44, Buffer.byteLength(seen)]);
  });

  test("a command on a terminal is a recorded session", async () => {
    node.events.length = 0;
    const got = await node.ssh(["-tt", node.target, "tty && echo from-a-terminal"]);
    assert.match(got.out, /\/dev\/pts\/\d+\r\nfrom-a-terminal\r\n/);
    assert.equal(got.code, 0);
    await node.event("T2004I");
  });

  test("a shell without a terminal reads its commands", async () => {
    const got = await node.ssh(["-T", node.target], { input: "echo $0; exit 5\n" });
    assert.deepEqual([got.out, got.code], [`-${node.login.shell.split("/").at(-1)}\n`, 5]);
  });

  test("records and tells nothing of sessions while the proxies do, and no bytes when recording is off", async () => {
    await using atProxy = await startNode({ config: { session_recording: "proxy" } });
    assert.equal((await atProxy.ssh([atProxy.target, "echo a"])).out, "a\n");
    await atProxy.ssh(["-tt", atProxy.target, "true"]);
    assert.deepEqual([atProxy.events, await atProxy.spool.waiting()], [[], []]);
    await using off = await startNode({ config: { session_recording: "off" } });
    await off.ssh([off.target, "true"]);
    await off.ssh(["-tt", off.target, "true"]);
    await off.event("T2006I");
    assert.equal((await off.event("T3002I")).sid, undefined);
    assert.deepEqual(await off.spool.waiting(), []);
  });

  test("forwards a connection, and tells it", async () => {
    const echo = createServer((socket) => socket.end("hello from behind\n"));
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    const { port } = echo.address() as { port: number };
    const got = await node.ssh(["-W", `127.0.0.1:${port}`, node.target]);
    echo.close();
    assert.equal(got.out, "hello from behind\n");
    assert.equal((await node.event("T3003I")).addr, `127.0.0.1:${port}`);
    const closed = await node.ssh(["-W", `127.0.0.1:${port}`, node.target]);
    assert.notEqual(closed.code, 0);
    assert.match((await node.event("T3003E")).error, /refused/);
  });

  test("S38: no forward where the roles do not allow it, and a record of the try", async () => {
    await using strict = await startNode({
      role: { options: { port_forwarding: false }, allow: { logins: [node.login.name] } },
    });
    const got = await strict.ssh(["-W", `127.0.0.1:${node.port}`, strict.target]);
    assert.notEqual(got.code, 0);
    assert.match(
      (await strict.event("T3003E")).error,
      /^port forwarding not allowed: role dev has port_forwarding switched off/,
    );
  });

  for (const [why, options, login, error] of [
    ["a login that the certificate does not name", { principals: ["other"] }, undefined, /is not for/],
    [
      "a login that the roles do not allow",
      { principals: ["root", "games"] },
      "root",
      /not authorized to login as root/,
    ],
    ["S39: a login that this machine does not have", { principals: ["ghost"] }, "ghost", /ghost/],
    ["a certificate that has ended", { hours: -1 }, undefined, /expired/],
    ["a user who does not exist", { user: "bob" }, undefined, /does not exist/],
    ["a role that does not exist", { roles: ["gone"] }, undefined, /role gone/],
  ] as const) {
    test(`refuses ${why}, for every kind of channel, with a record`, async () => {
      for (const way of [["true"], ["-W", "127.0.0.1:22"], ["-N", "-R", "0:127.0.0.1:1"]]) {
        node.events.length = 0;
        const file = await node.identity(options);
        const target = `${login ?? node.login.name}@127.0.0.1`;
        const got = await node.ssh(way[0] === "true" ? [target, ...way] : [...way, target], { file });
        assert.equal(got.code, 255);
        assert.match(got.err, /Permission denied/);
        assert.match((await node.event("T3007W")).error, error);
        assert.equal(node.events.length, 1);
      }
    });
  }

  test("closes the connections of a user who is deleted", async () => {
    const child = node.start([node.target, "echo ready; sleep 1000"]);
    for await (const _ of child.stdout as AsyncIterable<Uint8Array>) break;
    const alice = node.users.get("alice");
    node.users.delete("alice");
    node.events.length = 0;
    node.changed();
    await new Promise((resolve) => child.once("exit", resolve));
    assert.match((await node.event("T3006I")).reason, /alice does not exist/);
    if (alice) node.users.set("alice", alice);
  });

  test("an idle client, and one whose certificate ends, are sent away", async () => {
    await using brief = await startNode({
      config: { client_idle_timeout: 300, disconnect_expired_cert: true },
    });
    const idle = await brief.ssh([brief.target, "sleep 1000"]);
    assert.equal(idle.code, 255);
    assert.match((await brief.event("T3006I")).reason, /idle for \d+ms, exceeded idle timeout of 300ms/);
    await using strict = await startNode({ config: { disconnect_expired_cert: true } });
    await strict.ssh([strict.target, "sleep 1000"], { file: await strict.identity({ hours: 2 / 3600 }) });
    assert.match((await strict.event("T3006I")).reason, /client certificate expired at 20/);
  });

  test("scp of OpenSSH, up and down, with the login's rights and an event each", async () => {
    const [here, content] = [join(node.dir, "local ü"), Buffer.alloc(300_000, "abc")];
    await writeFile(here, content);
    const up = await scp(node, [here, `${node.target}:~/'re mote'`]);
    assert.deepEqual(up, { code: 0, err: "" });
    assert.deepEqual(await readFile(join(node.home, "re mote")), content);
    const down = await scp(node, [`${node.target}:re*`, join(node.dir, "back")]);
    assert.deepEqual(down, { code: 0, err: "" });
    assert.deepEqual(await readFile(join(node.dir, "back")), content);
    const [sent, got] = [await node.event("T3005I"), await node.event("T3004I")];
    assert.deepEqual(
      [sent.action, sent.path, sent.len, sent.exitCode],
      ["write", join(node.home, "re mote"), 300_000, 0],
    );
    assert.deepEqual([got.action, got.len], ["read", 300_000]);
    const refused = await scp(node, [`${node.target}:/etc/shadow`, join(node.dir, "shadow")]);
    if (process.getuid?.() === 0) {
      assert.equal(refused.code, 1);
      assert.match(refused.err, /shadow: permission denied/);
      assert.match((await node.event("T3004E")).exitError, /permission denied/);
    }
  });

  test("the agent, forwarded on a socket that only the login can use", asOther, async () => {
    const agent = await startAgent(node);
    try {
      const got = await agent.ssh(
        "ssh-add -l; stat -c '%a %u' $SSH_AUTH_SOCK $(dirname $SSH_AUTH_SOCK); echo $SSH_AUTH_SOCK",
      );
      assert.match(got.out, /ED25519/);
      assert.match(got.out, /600 5\n700 5\n/);
      const path = got.out.trim().split("\n").at(-1) as string;
      assert.match(path, /\/teleport-[^/]+\/teleport-\d+\.socket$/);
      while (existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      agent.stop();
    }
  });

  test("the login's own environment file counts when the node allows it", async () => {
    await using own = await startNode({ permitUserEnv: true });
    await mkdir(join(own.home, ".tsh"));
    await writeFile(join(own.home, ".tsh/environment"), "EDITOR=ed\nUSER=root\n");
    await chown(join(own.home, ".tsh"), own.login.uid, own.login.gid);
    const got = await own.ssh([own.target, "echo $EDITOR $USER"]);
    assert.equal(got.out, `ed ${own.login.name}\n`);
  });

  test("what it does not serve yet is refused in words", async () => {
    const other = await node.ssh(["-s", node.target, "netconf"]);
    assert.notEqual(other.code, 0);
    assert.equal((await node.event("T3001E")).name, "netconf");
  });

  test("a stranger who sends rubbish, or nothing, does not disturb the others", async () => {
    for (const text of [
      "GET / HTTP/1.0\r\n\r\n",
      "SSH-2.0-x\r\n\0\0\0\xff",
      "SSH-1.0-old\n",
      "\0".repeat(5000),
    ]) {
      const socket = connect(node.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.end(Buffer.from(text, "latin1"));
      await new Promise((resolve) => socket.resume().once("close", resolve));
    }
    const silent = connect(node.port, "127.0.0.1");
    silent.on("error", () => {});
    assert.equal((await node.ssh([node.target, "true"])).code, 0);
    silent.destroy();
  });
});

async function scp(node: ANode, args: string[]): Promise<{ code: number | null; err: string }> {
  const child = spawn("scp", ["-O", ...node.flags(), "-P", String(node.port), ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let err = "";
  for await (const chunk of child.stderr) err += String(chunk);
  const code = child.exitCode ?? (await new Promise<number | null>((resolve) => child.once("exit", resolve)));
  return { code, err };
}

async function startAgent(node: ANode) {
  const socket = join(node.dir, "agent");
  const process_ = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
  while (!existsSync(socket)) await new Promise((resolve) => setImmediate(resolve));
  const file = await node.identity();
  const env = { PATH: "/usr/bin:/bin", SSH_AUTH_SOCK: socket };
  execFileSync("ssh-add", ["-q", file], { env, stdio: "ignore" });
  return {
    async ssh(command: string) {
      const child = spawn("ssh", [...node.flags(file), "-A", "-p", String(node.port), node.target, command], {
        env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let out = "";
      for await (const chunk of child.stdout) out += String(chunk);
      return { out };
    },
    stop: () => process_.kill(),
  };
}

async function gone(pid: number): Promise<void> {
  assert.ok(pid > 1);
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setImmediate(resolve));
}
