import assert from "node:assert/strict";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { type Ran, run } from "../support/run.ts";
import { Terminal } from "../support/terminal.ts";
import { type Apart, startApart } from "./apart.ts";
import { login } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

const missing = skipUnless("ssh");

/** Stock ssh with the configuration that `tsh config` prints. */
async function stockSsh({ cluster }: Apart): Promise<(...args: string[]) => Promise<Ran>> {
  const file = cluster.folder.at("ssh_config");
  await writeFile(file, await cluster.mustTsh(["config"]));
  const env = { ...quiet, HOME: cluster.home };
  return (...args) =>
    run("ssh", ["-F", file, "-p", String(cluster.ports.node), ...args], { env, timeout: 30_000 });
}

/** Makes `port` the same as `target` while it is open, and counts who comes. */
async function relay(port: number, target: number) {
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let came = 0;
  const made = {
    get came() {
      return came;
    },
    async open() {
      server = createServer((here) => {
        came++;
        const there = connect(target, "127.0.0.1");
        for (const socket of [here, there]) {
          sockets.add(socket);
          socket.on("error", () => {}).on("close", () => [here, there].map((one) => one.destroy()));
        }
        here.pipe(there).pipe(here);
      });
      await new Promise<void>((resolve) => server?.listen(port, "127.0.0.1", resolve));
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
      server = undefined;
    },
    [Symbol.asyncDispose]: () => made.close(),
  };
  await made.open();
  return made;
}

test("ACC-85: authservers.json is kept, wins over the configuration, falls back to it, and may be removed", async () => {
  const [portA, portB] = await Promise.all([freePort(), freePort()]);
  await using stack = new AsyncDisposableStack();
  let relays: Awaited<ReturnType<typeof relay>>[] = [];
  // Two addresses of one auth server: A is what the members' file names, B what the cluster tells.
  await using apart = await startApart({
    authPort: portA,
    config: { teleport: { advertise_ip: `127.0.0.1:${portB}` } },
    before: async ({ ports }) => {
      relays = [stack.use(await relay(portA, ports.auth)), stack.use(await relay(portB, ports.auth))];
    },
  });
  const [a, b] = relays as [(typeof relays)[0], (typeof relays)[0]];
  const { node, cluster } = apart;
  const file = join(node.dataDir, "authservers.json");
  const kept = async (): Promise<unknown> => JSON.parse(await readFile(file, "utf8").catch(() => "null"));
  await eventually("a list of auth servers", async () => (await kept()) !== null);
  assert.deepEqual(await kept(), [`127.0.0.1:${portB}`]);
  // The proxy has nothing to do with this.
  await apart.proxy.daemon.stop();
  const listed = async (): Promise<boolean> => /^box /m.test(await cluster.mustTctl("nodes", "ls"));

  let [toA, toB] = [a.came, b.came];
  await (await node.restart()).ready();
  assert.equal(a.came, toA, "both are up: the one of the list is taken");
  assert.ok(b.came > toB);
  assert.ok(await listed());

  await b.close();
  await eventually("a node that came by A", () => a.came > toA);
  await (await node.restart()).ready();
  assert.ok(await listed());
  assert.deepEqual(await kept(), [`127.0.0.1:${portB}`]);

  await b.open();
  await node.daemon.stop();
  await rm(file);
  [toA, toB] = [a.came, b.came];
  await (await node.start()).ready();
  assert.ok(a.came > toA, "without a list the configuration counts");
  await eventually("the list again", async () => (await kept()) !== null);
});

suite("while auth is away", { skip: missing, concurrency: 2 }, () => {
  test("OVW-36: sessions go on and new ones begin, by tsh and by ssh, also after a restart of node and proxy; logins say why not", async () => {
    await using apart = await startApart();
    const { cluster, auth, proxy, node } = apart;
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    const ssh = await stockSsh(apart);
    const both = async (word: string): Promise<void> => {
      const ours = await cluster.tsh(["ssh", `${login}@box`, `echo ${word}`]);
      assert.deepEqual([ours.code, ours.out], [0, `${word}\n`], ours.err);
      const stock = await ssh(`${login}@box.main`, `echo ${word}`);
      assert.deepEqual([stock.code, stock.out], [0, `${word}\n`], stock.err);
    };
    await both("before");
    await using session = await Program.start(programs.tsh, ["ssh", `${login}@box`, "cat"], {
      env: { ...quiet, HOME: cluster.home },
    });
    session.write("one\n");
    await session.line(/one/);
    // The copy on disk follows a change after a second.
    for (const [{ dataDir }, name] of [
      [proxy, "proxy"],
      [node, "node"],
    ] as const) {
      const file = await stat(join(dataDir, "cache", `${name}.jsonl`));
      assert.equal(file.mode & 0o777, 0o600);
    }

    await auth.daemon.stop("SIGKILL");
    session.write("two\n");
    await session.line(/two/);
    await both("away");

    const sentence = /auth server cannot be reached, so nobody can log in/;
    const wrong = await cluster.tsh(["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=joe"], {
      input: "correct horse\n",
      env: { HOME: cluster.folder.at("elsewhere") },
    });
    assert.equal(wrong.code, 1, wrong.out);
    assert.match(wrong.err, sentence);
    const csrf = "ab".repeat(32);
    const web = await cluster.web("/v1/webapi/sessions", {
      body: { user: "joe", pass: "correct horse" },
      headers: { "x-csrf-token": csrf, cookie: `grv_csrf=${csrf}` },
    });
    assert.equal(web.status, 503, web.text);
    assert.match(web.text, sentence);
    assert.ok(!web.text.includes(String(cluster.ports.auth)), web.text);
    const page = await cluster.web("/web/login");
    assert.equal(page.status, 200);

    await Promise.all([node.restart("SIGKILL"), proxy.restart("SIGTERM")]);
    // That they have lost auth shows in /readyz only (CFG-151).
    await node.daemon.program.line(/\[SSH\] .*Service is starting/);
    await proxy.daemon.program.line(/Web proxy service is starting/);
    assert.equal((await node.daemon.diag("/healthz")).status, 200);
    await eventually("a /readyz that tells", async () => (await node.daemon.diag("/readyz")).status === 503);
    await both("restarted");

    await auth.start();
    await auth.daemon.ready();
    await eventually("a login", async () => (await cluster.logIn("joe")) !== "", { every: 500 });
    await both("back");
    await cluster.mustTctl("users", "rm", "joe");
    const removed = performance.now();
    await eventually("a refusal", async () => (await ssh(`${login}@box.main`, "true")).code !== 0);
    assert.ok(performance.now() - removed < 5000);
  });

  test("OVW-36: events and recordings wait on disk, over a kill -9 of the node, and arrive complete, in order and once", async () => {
    await using apart = await startApart();
    const { cluster, auth, node } = apart;
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    const command = (i: number): string => `echo number ${i}`;
    const runs = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) {
        const ran = await cluster.tsh(["ssh", `${login}@box`, command(i)]);
        assert.equal(ran.code, 0, ran.err);
      }
    };
    await runs(0, 2);
    await auth.daemon.stop("SIGKILL");
    await runs(2, 5);
    // A session in the middle of which the node is killed.
    await using session = new Terminal(
      programs.tsh,
      ["ssh", "-t", `${login}@box`, "echo cut-$((40 + 2)); sleep 60"],
      { env: { ...quiet, HOME: cluster.home } },
    );
    await session.sees(/cut-42/);
    const waiting = join(node.dataDir, "log", "upload", "events");
    const onDisk = async (word: string): Promise<boolean> => {
      const names = await readdir(waiting, { recursive: true }).catch(() => []);
      const files = names.filter((name) => name.endsWith(".jsonl"));
      const texts = await Promise.all(
        files.map((name) => readFile(join(waiting, name), "utf8").catch(() => "")),
      );
      return texts.some((text) => text.includes(word));
    };
    await eventually("the events on disk", async () => (await onDisk(command(4))) && onDisk("session.start"));
    await node.restart("SIGKILL");
    await node.daemon.program.line(/\[SSH\] .*Service is starting/);
    await runs(5, 7);

    await auth.start();
    await auth.daemon.ready();
    const execs = async (): Promise<string[]> =>
      (await cluster.events()).filter(({ event }) => event === "exec").map((event) => String(event.command));
    await eventually("all events", async () => (await execs()).length >= 7, { timeout: 40_000 });
    assert.deepEqual(
      await execs(),
      Array.from({ length: 7 }, (_, i) => command(i)),
    );
    const ended = await cluster.event("the end that nobody told", ({ code }) => code === "T2004I");
    await eventually("nothing that waits", async () => {
      const spool = await readdir(join(node.dataDir, "log", "upload", "sessions", "default"));
      const events = await readdir(waiting, { recursive: true });
      return spool.length === 0 && !events.some((name) => name.endsWith(".jsonl"));
    });
    const all = await cluster.events();
    assert.equal(new Set(all.map(({ uid }) => uid)).size, all.length);
    assert.deepEqual(
      all.filter(({ sid }) => sid === ended.sid).map(({ event }) => event),
      ["session.start", "session.end"],
    );
    const store = join(cluster.dataDir, "log", "sessions", "default");
    assert.match(await readFile(join(store, `${ended.sid}.session.bytes`), "utf8"), /cut-42/);
    const recorded = all.filter(({ event }) => event === "exec").map(({ sid }) => sid);
    for (const [i, sid] of recorded.entries())
      assert.equal(await readFile(join(store, `${sid}.session.bytes`), "utf8"), `number ${i}\n`);
  });
});
