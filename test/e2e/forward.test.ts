import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { type Ran, run } from "../support/run.ts";
import { ask, closed, pour, reached, serve, shouting, sum, sumOf } from "../support/sockets.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { quiet } from "./daemon.ts";

suite("forwarding through proxy and node, by stock ssh", { skip: skipUnless("ssh", "sshd") }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let sshd: Sshd;
  let env: Record<string, string | undefined>;
  const node = "testnode.main";
  const flood = { sent: 0, port: 0 };
  const file = (name: string): string => cluster.folder.at(name);

  before(async () => {
    const endless = stack.use(
      await serve(undefined, async (socket) => {
        const block = Buffer.alloc(64 * 1024, "x");
        while (!socket.destroyed) {
          await new Promise((resolve) => socket.write(block, resolve));
          flood.sent += block.length;
        }
      }),
    );
    flood.port = Number(endless.name.split(":")[1]);
    sshd = stack.use(await startSshd({ config: ["MaxStartups 1", "LoginGraceTime 60"] }));
    const targets = [`127.0.0.1:${flood.port}`, `127.0.0.1:${sshd.port}`, "*:22", "*:3022"];
    cluster = stack.use(await startCluster({ config: { proxy_service: { openssh_targets: targets } } }));
    env = { ...quiet, HOME: cluster.home, LC_MINE: "mine" };
    for (const name of ["joe", "ann", "eve"]) {
      await cluster.makeUser(name);
      await writeFile(file(`config-${name}`), "");
    }
    await withRole("ann", "no-forwards", { options: { port_forwarding: false } }, {});
    await withRole("eve", "elsewhere", {}, { node_labels: { env: "production" } });
    const line = await cluster.mustTctl("auth", "export", "--type=host");
    await writeFile(file("known_hosts"), line.replace("*.main", "*.main,127.0.0.1"));
    for (const name of ["joe", "ann", "eve"]) {
      await cluster.logIn(name);
      await writeFile(file(`config-${name}`), configOf(name).join("\n"));
    }
  });
  after(() => stack.disposeAsync());

  /** Gives a user a role of their own in the place of `admin`. */
  async function withRole(user: string, role: string, options: object, allow: object): Promise<void> {
    const spec = { ...options, allow: { logins: [login], node_labels: { "*": "*" }, ...allow } };
    const record = { kind: "role", version: "v3", metadata: { name: role }, spec };
    await writeFile(file(`${role}.yaml`), JSON.stringify(record));
    await cluster.mustTctl("create", "-f", file(`${role}.yaml`));
    const yaml = await cluster.mustTctl("get", `user/${user}`);
    await writeFile(file(`${user}.yaml`), yaml.replace(/- admin\b/, `- ${role}`));
    await cluster.mustTctl("create", "-f", file(`${user}.yaml`));
  }

  const configOf = (name: string): string[] => [
    "Host *.main",
    `  Port ${cluster.ports.node}`,
    "  ProxyJump jump",
    "Host jump",
    "  HostName 127.0.0.1",
    `  Port ${cluster.ports.proxy}`,
    "Host *",
    `  User ${login}`,
    `  IdentityFile ${cluster.home}/.tsh/keys/127.0.0.1/${name}`,
    "  IdentitiesOnly yes",
    "  BatchMode yes",
    "  ExitOnForwardFailure yes",
    "  StrictHostKeyChecking yes",
    `  UserKnownHostsFile ${file("known_hosts")}`,
    "  GlobalKnownHostsFile /dev/null",
    "",
  ];
  const as = (name: string) => ({
    ssh: (args: readonly string[], input?: string | Uint8Array): Promise<Ran> =>
      run("ssh", ["-F", file(`config-${name}`), ...args], { env, ...(input !== undefined && { input }) }),
    open: (...args: string[]): Promise<Program> =>
      Program.start("ssh", ["-F", file(`config-${name}`), ...args], { env }),
  });

  test("ports and Unix sockets, near and far, SOCKS either way, half-close and all; nothing is left of a client that dies", async () => {
    await using tcp = await shouting();
    await using unix = await shouting(file("shouting"));
    const ports = await Promise.all(Array.from({ length: 4 }, freePort));
    const [nearTcp, farTcp, nearSocks, farSocks] = ports.map((port) => `127.0.0.1:${port}`) as [
      string,
      string,
      string,
      string,
    ];
    const [nearUnix, farUnix] = [file("near"), file("far")];
    await using ssh = await as("joe").open(
      ...["-N", "-L", `${nearTcp}:${unix.name}`, "-L", `${nearUnix}:${tcp.name}`],
      ...["-R", `${farTcp}:${unix.name}`, "-R", `${farUnix}:${tcp.name}`],
      ...["-D", nearSocks, "-R", farSocks, node],
    );
    for (const place of [nearTcp, nearUnix, farTcp, farUnix])
      assert.equal(await ask(place, "hello"), "HELLO", place);
    for (const place of [nearSocks, farSocks])
      assert.equal(await ask(place, "hello", { through: tcp.name }), "HELLO", place);
    ssh.kill("SIGKILL");
    for (const place of [farTcp, farUnix, farSocks]) await closed(place);
    for (const [code, told] of [
      ["T3003I", { addr: tcp.name }],
      ["T4032I", { addr: farTcp }],
      ["T4033I", { path: farUnix, direction: "remote" }],
      ["T4033I", { path: unix.name, direction: "local" }],
    ] as const)
      await cluster.event(`${code} ${JSON.stringify(told)}`, (event) =>
        Object.entries({ code, user: "joe", login, ...told }).every(([key, value]) => event[key] === value),
      );
  });

  test("32 MiB each way at once, intact", async () => {
    const block = randomBytes(1 << 20);
    await using source = await serve(undefined, async (socket) => {
      const got = sum(socket);
      await pour(socket, block, 32);
      socket.end();
      assert.equal(await got, sumOf(block, 32));
    });
    const entrance = `127.0.0.1:${await freePort()}`;
    await using _ = await as("joe").open("-N", "-L", `${entrance}:${source.name}`, node);
    const socket = await eventually("an entrance", () => reached(entrance));
    const got = sum(socket);
    await pour(socket, block, 32);
    socket.end();
    assert.equal(await got, sumOf(block, 32));
  });

  test("a command's input ends when its client's does, its output goes on; its end by a signal is told", async () => {
    const counted = await as("joe").ssh(
      [node, "wc -c; echo after the end; echo $LC_MINE"],
      "x".repeat(100_000),
    );
    assert.equal(counted.out, "100000\nafter the end\n\n");
    const sent = await as("joe").ssh(["-o", "SendEnv=LC_*", node, "echo $LC_MINE"]);
    assert.equal(sent.out, "mine\n");
    const killed = await as("joe").ssh(["-v", node, "kill -TERM $$"]);
    assert.match(killed.err, /client_input_channel_req: channel \d+ rtype exit-signal/);
  });

  test("S38: who may not forward may come by the proxy, but gets nothing forwarded by the node", async () => {
    await using there = await shouting();
    const plain = await as("ann").ssh([node, "echo in"]);
    assert.deepEqual([plain.code, plain.out], [0, "in\n"], plain.err);
    const local = await as("ann").ssh(["-W", there.name, node]);
    assert.notEqual(local.code, 0);
    assert.match(local.err, /administratively prohibited: port forwarding not allowed/);
    const remote = await as("ann").ssh(["-R", `0:${there.name}`, node, "true"]);
    assert.equal(remote.code, 255);
    for (const code of ["T3003E", "T4032E"])
      await cluster.event(code, (event) => event.code === code && event.user === "ann");
  });

  test("S38: who may reach no node is refused by the proxy, with a record", async () => {
    const got = await as("eve").ssh([node, "true"]);
    assert.equal(got.code, 255);
    assert.match(got.err, /administratively prohibited: failed connecting to node testnode\.main/);
    await cluster.event("a refusal", (event) => event.code === "T3007W" && event.user === "eve");
  });

  test("S62: the proxy dials nothing that the operator did not name: not itself, the auth service or the cloud's metadata", async () => {
    for (const [host, port] of [
      ["127.0.0.1", cluster.ports.auth],
      ["127.0.0.1", cluster.ports.web],
      ["localhost", cluster.ports.auth],
      ["127.0.0.1", 22],
      ["[::1]", 22],
      ["[::ffff:127.0.0.1]", 22],
      ["0.0.0.0", 22],
      ["169.254.169.254", 80],
      ["169.254.169.254", 22],
    ] as const) {
      const got = await as("joe").ssh(["-W", `${host}:${port}`, "jump"]);
      assert.notEqual(got.code, 0);
      assert.match(got.err, /administratively prohibited/, `${host}:${port}`);
    }
    await eventually("nine refusals in the log", async () => {
      const events = await cluster.events();
      return events.filter(({ code, user }) => code === "T3007W" && user === "joe").length === 9;
    });
  });

  test("S63: the proxy serves its own subsystems only: no shell, command, sftp, listening, socket or agent", async () => {
    const jump = as("joe");
    for (const [args, why] of [
      [["jump", "id"], /proxy doesn't support request type 'exec'/],
      [["-T", "jump"], /proxy doesn't support request type 'shell'/],
      [["-s", "jump", "sftp"], /invalid format for proxy request|sftp/],
    ] as const) {
      const got = await jump.ssh(args);
      assert.notEqual(got.code, 0);
      assert.equal(got.out, "");
      assert.match(got.err, why);
    }
    const path = file("proxy-socket");
    for (const bind of ["0", path])
      assert.equal((await jump.ssh(["-N", "-R", `${bind}:127.0.0.1:1`, "jump"])).code, 255);
    await using there = await shouting(file("behind"));
    const near = file("near-proxy");
    await using _ = await jump.open("-N", "-L", `${near}:${there.name}`, "jump");
    assert.equal(await ask(near, "hello").catch(() => "broken off"), "broken off");
    for (const [what, code, fields] of [
      ["a port", "T4032E", { addr: "localhost:0" }],
      ["a socket to listen on", "T4033E", { path, direction: "remote" }],
      ["a socket to connect to", "T4033E", { path: there.name, direction: "local" }],
    ] as const) {
      await cluster.event(
        what,
        (event) =>
          event.code === code &&
          event.user === "joe" &&
          Object.entries(fields).every(([name, value]) => (event as Record<string, unknown>)[name] === value),
      );
    }
  });

  test("S65: a target that sends without end to a client that does not read fills no memory and stops nobody", async () => {
    const before = await memory();
    const stuck = spawn("ssh", ["-F", file("config-joe"), "-W", `127.0.0.1:${flood.port}`, "jump"], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    try {
      await eventually("a flood", () => flood.sent > 0);
      let last = -1;
      await eventually(
        "an end of the flood",
        () => {
          const still = flood.sent === last;
          last = flood.sent;
          return still;
        },
        { every: 1000, timeout: 30_000 },
      );
      assert.ok(flood.sent < 64 << 20, `${flood.sent} bytes were taken`);
      const grown = (await memory()) - before;
      assert.ok(grown < 64 << 20, `${grown} bytes more than before`);
      assert.equal((await as("joe").ssh([node, "echo fine"])).out, "fine\n");
    } finally {
      stuck.kill("SIGKILL");
    }
  });

  test("ACC-27: an sshd that takes nobody more shows as a failure with a hint, and the proxy goes on", async () => {
    // Somebody who never logs in has sshd's only place.
    const silent = await eventually("a place", () => reached(`127.0.0.1:${sshd.port}`));
    await new Promise((resolve) => silent.once("data", resolve));
    const there = ["-W", `127.0.0.1:${sshd.port}`, "jump"];
    const got = await as("joe").ssh(there);
    assert.notEqual(got.code, 0);
    assert.match(
      got.err,
      /^channel 0: open failed: connect failed: ssh: handshake failed: EOF\r?\n.*limiting new connections/m,
    );
    const subsystem = await as("joe").ssh(["-s", "jump", `proxy:127.0.0.1:${sshd.port}`]);
    assert.match(subsystem.err, /^ssh: handshake failed: EOF\r?\n.*limiting new connections/m);
    await cluster.event(
      "a failure",
      (event) => event.code === "T4030W" && /handshake failed/.test(String(event.error)),
    );
    silent.destroy();
    await eventually("room again", async () =>
      (await as("joe").ssh(there, "SSH-2.0-x\r\n")).out.startsWith("SSH-2.0-"),
    );
  });

  /** What the daemon has in memory, in bytes. */
  async function memory(): Promise<number> {
    const status = await readFile(join("/proc", String(cluster.daemon.program.pid), "status"), "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }
});
