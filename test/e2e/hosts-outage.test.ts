import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { Network, skipUnlessNetworks } from "../support/network.ts";
import type { Program } from "../support/program.ts";
import type { Ran } from "../support/run.ts";
import { type Event, login, password } from "./cluster.ts";
import { programs } from "./daemon.ts";
import { eventsAt, Host, listed, logIn, makeUser, nodesAt } from "./hosts.ts";

const plan = {
  auth: ["10.0.10.5"],
  proxy: ["10.0.10.6", "203.0.113.6"],
  proxy2: ["10.0.10.7", "203.0.113.7"],
  stays: ["10.0.10.11"],
  leaves: ["10.0.10.12"],
  late: ["10.0.10.13"],
  laptop: ["203.0.113.50"],
  laptop2: ["203.0.113.51"],
} as const;
const site = "proxy.example.com";
const site2 = "proxy2.example.com";
const flags = ["--token=secret-value", "--auth-server=10.0.10.5"];

suite("hosts that lose each other", { skip: skipUnlessNetworks }, () => {
  const stack = new AsyncDisposableStack();
  let hosts: Record<keyof typeof plan, Host>;
  let auth: Program;

  const startAuth = async (): Promise<Program> => {
    const config = join(hosts.auth.machine.home, "teleport.yaml");
    const program = await hosts.auth.teleport("--roles=auth", "-c", config);
    await program.line(/Auth service is starting/);
    return program;
  };

  before(async () => {
    const network = stack.use(await Network.open(plan, { [site]: plan.proxy[1], [site2]: plan.proxy2[1] }));
    hosts = Object.fromEntries(
      Object.keys(plan).map((name) => [name, new Host(network.machine(name))]),
    ) as typeof hosts;
    await writeFile(
      join(hosts.auth.machine.home, "teleport.yaml"),
      `auth_service:
  cluster_name: main
  tokens: ["node,proxy:secret-value"]
  authentication: {second_factor: off}
  keep_alive_interval: 2s
  keep_alive_count_max: 2
`,
    );
    auth = await startAuth();
    stack.defer(() => auth[Symbol.asyncDispose]());
    const start = async (name: keyof typeof plan, role: string): Promise<Program> =>
      stack.use(await hosts[name].teleport(`--roles=${role}`, ...flags));
    const proxies = [await start("proxy", "proxy"), await start("proxy2", "proxy")];
    await start("stays", "node");
    await start("leaves", "node");
    for (const proxy of proxies) await proxy.line(/Web proxy service is starting/);
    await makeUser(hosts.auth, hosts.laptop, site, "joe");
    await logIn(hosts.laptop2, site2, "joe");
    for (const node of ["stays", "leaves"]) await listed(hosts.auth, node);
  });
  after(() => stack.disposeAsync());

  /** A session that waits for a line and then ends with 7. */
  const session = async (from: Host, host: string, ...options: string[]): Promise<Program> => {
    const command = "echo started; read line; echo got $line; exit 7";
    const program = await from.start(programs.tsh, ["ssh", ...options, `${login}@${host}`, command]);
    await program.line(/started/);
    return program;
  };
  const goesOn = async (open: Program): Promise<void> => {
    open.write("hello\n");
    assert.equal(await open.ended(), 7, open.said);
    assert.match(open.said, /got hello/);
  };
  const runsOn = async (from: Host, host: string, command: string): Promise<void> => {
    assert.match(await from.mustTsh(["ssh", `${login}@${host}`, command]), /./);
  };
  const newLogin = (from: Host, proxy: string): Promise<Ran> =>
    from.tsh(["login", "--insecure", `--proxy=${proxy}`, "--user=joe"], {
      input: `${password}\n`,
      env: { HOME: join(from.machine.home, "fresh") },
    });
  const eventsOf = async (which: (event: Event) => boolean): Promise<Event[]> =>
    (await eventsAt(hosts.auth)).filter(which);

  suite("for a while", { concurrency: true }, () => {
    test("a node that is cut off leaves the lists, its sessions end with a sentence, and it comes back by itself", async () => {
      const { laptop, leaves } = hosts;
      await using lost = await session(
        laptop,
        "leaves",
        ...["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2"],
      );
      // The person's own ssh, which asks nobody whether the node is still there.
      const config = join(laptop.machine.home, "ssh_config");
      await writeFile(config, await laptop.mustTsh(["config"]));
      await using silent = await laptop.start("ssh", [
        ...["-F", config, "-o", "BatchMode=yes", `${login}@leaves.main`],
        "echo started; sleep 600",
      ]);
      await silent.line(/started/);
      await leaves.machine.cut();
      const cut = performance.now();
      assert.equal(await lost.ended(), 1);
      assert.match(lost.said, /error: lost the connection to leaves/);
      assert.equal(await silent.ended(), 255, silent.said);
      await eventually(
        "a list without it",
        async () => (await nodesAt(hosts.auth)).every(({ name }) => name !== "leaves"),
        { timeout: 45_000, every: 500 },
      );
      // Time for a last heartbeat, for looking and for an answer beside the 30 s.
      assert.ok(performance.now() - cut < 40_000, `${performance.now() - cut} ms`);
      const refused = await laptop.tsh(["ssh", `${login}@leaves`, "true"]);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /leaves/);

      await leaves.machine.mend();
      await eventually("it in the list", () => listed(hosts.auth, "leaves"), { timeout: 60_000 });
      await eventually("a way to it", async () => {
        const { code } = await laptop.tsh(["ssh", `${login}@leaves`, "true"]);
        return code === 0;
      });
      // The node noticed by its own keep-alives, and its event waited.
      const { id } = await listed(hosts.auth, "leaves");
      await eventually("the event of the lost session", async () => {
        const found = await eventsOf(({ event, server_id }) => event === "exec" && server_id === id);
        return found.some(({ command }) => /read line/.test(String(command)));
      });
    });

    test("a proxy that cannot reach auth goes on with open sessions and lets new ones begin, and refuses logins with the reason", async () => {
      const { laptop2, proxy2 } = hosts;
      await using open = await session(laptop2, "stays");
      await proxy2.machine.loses("10.0.10.5");
      const commands: string[] = [];
      const since = performance.now();
      // Longer than the 30 s after which auth knows of no member that says nothing.
      while (performance.now() - since < 35_000) {
        const command = `echo without auth, ${commands.length}`;
        await runsOn(laptop2, "stays", command);
        commands.push(command);
      }
      const refused = await newLogin(laptop2, site2);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /auth server/);
      const list = await laptop2.tsh(["ls"]);
      assert.match(list.err, /error: the proxy cannot reach the cluster's auth server now/);
      await goesOn(open);
      await proxy2.machine.finds("10.0.10.5");

      await eventually("a login", async () => (await newLogin(laptop2, site2)).code === 0, {
        timeout: 60_000,
        every: 1000,
      });
      const connects = await eventually("all that it had to tell", async () => {
        const found = await eventsOf(
          ({ event, addr, "addr.remote": from }) =>
            event === "proxy.connect" &&
            addr === "10.0.10.11:3022" &&
            String(from).startsWith("203.0.113.51:"),
        );
        return found.length > commands.length && found;
      });
      assert.equal(connects.length, commands.length + 1);
    });

    test("an auth server whose packets get lost does not keep a host from the next one", async () => {
      const { late } = hosts;
      await late.machine.loses("10.0.10.4");
      const servers = "--auth-server=10.0.10.4,10.0.10.5";
      stack.use(await late.teleport("--roles=node", "--token=secret-value", servers));
      await eventually("the node", () => listed(hosts.auth, "late"), { timeout: 60_000 });
    });
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`auth ended by ${signal}: sessions go on and begin, and their events and recordings arrive once, when it is back`, async () => {
      const { laptop, auth: authHost } = hosts;
      await using open = laptop.terminal(programs.tsh, ["ssh", `${login}@stays`]);
      // What is typed is not what is answered.
      open.type("echo star''ted\r");
      await open.sees(/started\r/);
      auth.kill(signal);
      await auth.ended();
      const commands = ["first", "second", "third"].map((word) => `echo ${word} without ${signal}`);
      await Promise.all(commands.map((command) => runsOn(laptop, "stays", command)));
      const refused = await newLogin(laptop, site);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /auth server/);
      const list = await laptop.tsh(["ls"]);
      assert.match(list.err, /error: the proxy cannot reach the cluster's auth server now/);
      open.type("echo go''t hello; exit 7\r");
      assert.equal(await open.ended(), 7);

      auth = await startAuth();
      await runsOn(laptop, "stays", "echo as it comes back");
      const ran = await eventually(
        "the events of what ran",
        async () => {
          const found = await eventsOf(
            ({ event, command }) => event === "exec" && commands.includes(String(command)),
          );
          return found.length >= commands.length && found;
        },
        { timeout: 60_000 },
      );
      assert.deepEqual(ran.map(({ command }) => command).sort(), commands.toSorted());
      const started = (await eventsOf(({ event }) => event === "session.start")).length;
      const ends = await eventually("the end of the open session", async () => {
        const found = await eventsOf(({ event }) => event === "session.end");
        return found.length >= started && found;
      });
      const sid = String(ends.at(-1)?.sid);
      const bytes = join(authHost.dataDir, "log/sessions/default", `${sid}.session.bytes`);
      const shown = await eventually("its recording", () => readFile(bytes, "utf8"), { timeout: 60_000 });
      assert.match(shown, /started\r[\s\S]*got hello\r/);
      assert.match(await laptop.mustTsh(["play", sid]), /got hello/);
      const all = await eventsAt(authHost);
      assert.equal(new Set(all.map(({ uid }) => uid)).size, all.length);
    });
  }
});
