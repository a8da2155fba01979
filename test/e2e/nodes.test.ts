import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, connect as dial } from "node:net";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { eventually } from "../support/eventually.ts";
import { fetchOwn, type HttpAnswer } from "../support/https.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { type Cluster, end, programs, quiet, ready, startCluster } from "./cluster.ts";

suite("members come and go", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let pin: string;
  let token: string;

  before(async () => {
    cluster = stack.use(await startCluster());
    const invitation = await cluster.mustTctl("nodes", "add", "--roles=node,proxy");
    token = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1] ?? "";
    pin = /sha256:[0-9a-f]{64}/.exec(await cluster.mustTctl("status"))?.[0] ?? "";
  });
  after(() => stack.disposeAsync());

  interface Host extends AsyncDisposable {
    readonly program: Program;
    readonly address: string;
    readonly diag: (path: string) => Promise<HttpAnswer>;
  }

  /** Another `teleport start` that runs one role. */
  async function host(
    name: string,
    options: { role?: "node" | "proxy"; authPort?: number; folder?: string } = {},
  ): Promise<Host> {
    const { role = "node", authPort = cluster.ports.auth } = options;
    const folder = cluster.folder.at(options.folder ?? name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const [listen, web, tunnel, diag] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    const file = `${folder}/teleport.yaml`;
    const at = (port: number): string => `127.0.0.1:${port}`;
    await writeFile(
      file,
      stringify({
        teleport: { nodename: name, data_dir: `${folder}/data` },
        ssh_service: { listen_addr: at(listen), labels: { host: name } },
        proxy_service: { listen_addr: at(listen), web_listen_addr: at(web), tunnel_listen_addr: at(tunnel) },
      }),
    );
    const program = await Program.start(
      programs.teleport,
      [
        "start",
        ...["-c", file, `--roles=${role}`, `--token=${token}`, `--ca-pin=${pin}`],
        ...[`--auth-server=${at(authPort)}`, `--diag-addr=${at(diag)}`],
      ],
      { env: quiet },
    );
    return {
      program,
      address: at(role === "node" ? listen : web),
      diag: (path) => fetchOwn(`http://${at(diag)}${path}`),
      [Symbol.asyncDispose]: () => end(program),
    };
  }

  const isReady = ({ program, diag }: Host): Promise<void> => ready(program, diag);

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
    await using stops = await host("stops");
    await using dies = await host("dies");
    await Promise.all([isReady(stops), isReady(dies)]);
    const table = (await cluster.mustTctl("nodes", "ls")).split("\n").map((line) => line.trim());
    assert.match(table[0] ?? "", /^Node Name +Node ID +Address +Labels$/);
    const uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    for (const [name, address, labels] of [
      ["testnode", `127.0.0.1:${cluster.ports.node}`, "env:test"],
      ["stops", stops.address, "host:stops"],
      ["dies", dies.address, "host:dies"],
    ] as const) {
      const row = new RegExp(`^${name} +${uuid} +${address} +${labels}$`);
      assert.ok(table.some((line) => row.test(line)), `${row} is not in\n${table.join("\n")}`);
    }

    process.kill(dies.program.pid, "SIGKILL");
    await dies.program.ended();
    const killed = performance.now();
    stops.program.kill("SIGTERM");
    assert.equal(await stops.program.ended(), 0, stops.program.said);
    assert.equal(await listed("stops"), false);
    await eventually("a list without the killed node", async () => !(await listed("dies")), 35_000);
    // The last look started up to a second before its answer.
    assert.ok(performance.now() - killed < 32_000, `${performance.now() - killed} ms`);
  });

  test("ACC-65: /readyz is 503 before a host has joined, and 200 after", async () => {
    const port = await freePort();
    await using late = await host("late", { authPort: port });
    await late.program.line(/Diagnostics service is starting/);
    const before = await eventually("an answer", () => late.diag("/readyz"));
    assert.equal(before.status, 503, before.text);
    assert.equal((await late.diag("/healthz")).status, 200);
    await using _relay = await relay(port, cluster.ports.auth);
    await isReady(late);
    assert.equal(await listed("late"), true);
  });

  test("ACC-88: a host whose data folder is emptied has to join again", async () => {
    {
      await using first = await host("reset");
      await isReady(first);
    }
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
