import assert from "node:assert/strict";
import { createServer, connect as dial } from "node:net";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/port.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { type Host, type HostOptions, startHost } from "./daemon.ts";

suite("members come and go", { concurrency: true }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let flags: string[];

  before(async () => {
    cluster = stack.use(await startCluster());
    const [status, invitation] = await Promise.all([
      cluster.mustTctl("status"),
      cluster.mustTctl("nodes", "add"),
    ]);
    flags = [
      `--token=${/^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1]}`,
      `--ca-pin=${/sha256:[0-9a-f]{64}/.exec(status)?.[0]}`,
    ];
  });
  after(() => stack.disposeAsync());

  const node = (name: string, more: Partial<HostOptions> = {}): Promise<Host> =>
    startHost({
      name,
      role: "node",
      folder: cluster.folder.at(name),
      authPort: cluster.ports.auth,
      flags,
      ...more,
    });

  const listed = async (name: string): Promise<boolean> =>
    new RegExp(`^${name} `, "m").test(await cluster.mustTctl("nodes", "ls"));

  test("ACC-06: tctl status tells cluster, authorities and pin, in this order", async () => {
    const lines = (await cluster.mustTctl("status")).split("\n").map((line) => line.trim());
    assert.match(lines[0] ?? "", /^Cluster +main$/);
    assert.match(lines[1] ?? "", /^User CA +never updated$/);
    assert.match(lines[2] ?? "", /^Host CA +never updated$/);
    assert.match(lines[3] ?? "", /^CA pin +sha256:[0-9a-f]{64}$/);
  });

  test("ACC-05: tctl nodes ls shows labelled nodes; one that stops is gone at once, a killed one within 30 s", async () => {
    await using stops = await node("stops");
    await using dies = await node("dies");
    await Promise.all([stops.ready(), dies.ready()]);
    const table = (await cluster.mustTctl("nodes", "ls")).split("\n").map((line) => line.trim());
    assert.match(table[0] ?? "", /^Node Name +Node ID +Address +Labels$/);
    const uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    for (const [name, address, labels] of [
      ["testnode", `127.0.0.1:${cluster.ports.node}`, "env:test"],
      ["stops", stops.address, "host:stops"],
      ["dies", dies.address, "host:dies"],
    ] as const) {
      const row = new RegExp(`^${name} +${uuid} +${address} +${labels}$`);
      assert.ok(
        table.some((line) => row.test(line)),
        `${row} is not in\n${table.join("\n")}`,
      );
    }

    await dies.stop("SIGKILL");
    const killed = performance.now();
    assert.equal(await stops.stop("SIGTERM"), 0, stops.program.said);
    assert.equal(await listed("stops"), false);
    await eventually("a list without the killed node", async () => !(await listed("dies")), {
      timeout: 35_000,
      every: 1000,
    });
    // Between two looks and for an answer there go two seconds.
    assert.ok(performance.now() - killed < 32_500, `${performance.now() - killed} ms`);
  });

  test("tsh ssh LABEL=VALUE runs on every node that has it, and tells of each: one that is gone is told, not waited for", async () => {
    const labels = { fleet: "web" };
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    await using first = await node("web-1", { labels });
    await using second = await node("web-2", { labels });
    await Promise.all([first.ready(), second.ready()]);
    const host = `${login}@fleet=web`;
    const [, port] = second.address.split(":");
    const command = `set -- $SSH_CONNECTION; echo by $4; [ $4 != ${port} ] || exit 5`;

    const both = await cluster.tsh(["ssh", host, command]);
    assert.equal(both.code, 5, both.err);
    const said = (name: string, { address }: Host): string => `${name}: by ${address.split(":")[1]}`;
    assert.deepEqual(both.out.trimEnd().split("\n").sort(), [said("web-1", first), said("web-2", second)]);
    assert.match(both.err, /\nNode Name Exit Code Time *\n-+ -+ -+ *\nweb-1 +0 +\S+\nweb-2 +5 +\S+\n$/);
    const ran = async (): Promise<unknown[]> => {
      const events = await cluster.events();
      return events.filter((event) => event.command === command).map(({ exitCode }) => exitCode);
    };
    await eventually("an event of each", async () => (await ran()).length === 2);
    assert.deepEqual((await ran()).sort(), [0, 5]);

    await second.stop("SIGKILL");
    const one = await cluster.tsh(["ssh", host, command]);
    assert.equal(one.code, 1, one.err);
    assert.equal(one.out, `${said("web-1", first)}\n`);
    assert.match(
      one.err,
      /\nNode Name Exit Code Time +Error *\n-+ -+ -+ -+\nweb-1 +0 +\S+ *\nweb-2 +1 +\S+ +\S.*\n$/,
    );
  });

  test("ACC-65: /readyz is 503 before a host has joined, and 200 after", async () => {
    const port = await freePort();
    await using late = await node("late", { authPort: port });
    await late.program.line(/Diagnostics service is starting/);
    const early = await late.diag("/readyz");
    assert.equal(early.status, 503, early.text);
    assert.equal((await late.diag("/healthz")).status, 200);
    await using _relay = await relay(port, cluster.ports.auth);
    await late.ready();
    assert.equal(await listed("late"), true);
  });
});

/** Makes `port` the same as `target` for as long as it is there. */
async function relay(port: number, target: number): Promise<AsyncDisposable> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((here) => {
    const there = dial(target, "127.0.0.1");
    for (const socket of [here, there]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => [here, there].map((one) => one.destroy()));
    }
    here.pipe(there).pipe(here);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
