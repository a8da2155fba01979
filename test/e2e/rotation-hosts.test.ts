import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { Program } from "../support/program.ts";
import { mustRun, run } from "../support/run.ts";
import { type Cluster, login, password, startCluster } from "./cluster.ts";
import { type Host, type HostOptions, programs, quiet, startHost } from "./daemon.ts";

const token = "for-every-role";

suite("hosts over a rotation", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let pin: string;

  const host = (name: string, role: HostOptions["role"], more: Partial<HostOptions> = {}): Promise<Host> =>
    startHost({
      name,
      role,
      folder: cluster.folder.at(name),
      authPort: cluster.ports.auth,
      flags: [`--token=${token}`, `--ca-pin=${pin}`],
      ...more,
    });
  const rotate = (...flags: string[]): Promise<string> => cluster.mustTctl("auth", "rotate", ...flags);
  const pinOfNow = async (which = 0): Promise<string> =>
    [...(await cluster.mustTctl("status")).matchAll(/sha256:[0-9a-f]{64}/g)][which]?.[0] ?? "";
  const reach = async (name: string): Promise<string> =>
    (await cluster.mustTsh(["ssh", `${login}@${name}`, "echo reached"])).trim();
  const behind = async (): Promise<string[]> => {
    const { behind } = JSON.parse(await cluster.mustTctl("status", "--format=json")) as {
      behind: { kind: string; name: string }[];
    };
    return behind.map(({ kind, name }) => `${kind} ${name}`);
  };
  const to = async (phase: string, late: readonly string[] = []): Promise<void> => {
    await rotate("--manual", `--phase=${phase}`, "--type=host");
    await eventually(
      `all but ${late.join()} at ${phase}`,
      async () => JSON.stringify(await behind()) === JSON.stringify(late),
      { every: 200 },
    );
  };

  before(async () => {
    cluster = stack.use(
      await startCluster({ config: { auth_service: { tokens: [`node,proxy:${token}`] } } }),
    );
    pin = await pinOfNow();
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
  });
  after(() => stack.disposeAsync());

  test("further processes of a proxy follow; who comes back before the end is the member it was; either pin joins", async () => {
    await using edge = await host("edge", "proxy", { proxy: { processes: 2 } });
    {
      await using late = await host("late", "node");
      await late.ready();
      await edge.program.line(/process of the proxy serves process=2\n/);
    }
    const home = cluster.folder.at("laptop");
    const env = { ...quiet, HOME: home };
    await mustRun(programs.tsh, ["login", "--insecure", `--proxy=${edge.proxy}`, "--user=joe"], {
      env,
      input: `${password}\n`,
    });
    const throughEdge = async (): Promise<void> => {
      const ran = await run(programs.tsh, ["ssh", `${login}@testnode`, "echo reached"], { env });
      assert.deepEqual([ran.out, ran.err], ["reached\n", ""]);
    };
    await to("init", ["node late"]);
    for (let i = 0; i < 3; i++) await throughEdge();
    // The pin that is to come, before anything is signed by its authority.
    {
      await using early = await host("early", "node", {
        flags: [`--token=${token}`, `--ca-pin=${await pinOfNow(1)}`],
      });
      await early.ready();
      assert.equal(await reach("early"), "reached");
    }
    await to("update_clients", ["node early", "node late"]);
    await throughEdge();
    await to("update_servers", ["node early", "node late"]);
    for (let i = 0; i < 3; i++) await throughEdge();
    await using late = await host("late", "node", { flags: [] });
    await late.ready();
    assert.equal(await reach("late"), "reached");
    await eventually("one less behind", async () => (await behind()).join() === "node early");
    await rotate("--manual", "--phase=standby", "--type=host");
    assert.equal(await reach("late"), "reached");
    for (let i = 0; i < 3; i++) await throughEdge();
    for (const path of [cluster.daemon, edge, late]) assert.equal((await path.diag("/readyz")).status, 200);
    assert.doesNotMatch(late.program.said, /ERROR/);
  });

  test("ROT-08: without a grace period sessions end, hosts join again with the pin of now, and people log in again", async () => {
    const flags = [`--token=${token}`, `--ca-pin=${await pinOfNow()}`];
    {
      await using db = await host("db", "node", { flags });
      await db.ready();
      await using session = await Program.start(programs.tsh, ["ssh", `${login}@testnode`, "cat"], {
        env: { ...quiet, HOME: cluster.home },
      });
      session.write("open\n");
      await session.line(/open/);
      assert.match(await rotate("--rehearse", "--grace-period=0"), /^db +node .*online$/m);
      assert.match(await rotate("--grace-period=0"), /^Initiated/);
      assert.notEqual(await session.ended(), 0);
      assert.match(session.said, /rotated since you logged in|connection/i);
      await cluster.mustTctl("status");
      const refused = await cluster.tsh(["ls"]);
      assert.match(refused.err, /log in again/);
      await cluster.mustTsh(["logout"]);
      await cluster.logIn("joe");
      assert.equal(await reach("testnode"), "reached");
    }
    await using db = await host("db", "node", {
      flags: [`--token=${token}`, `--ca-pin=${await pinOfNow()}`],
    });
    // For half a minute the cluster takes the member of before, which could not say good-bye, for alive.
    const joined = async (): Promise<boolean> => (await db.diag("/readyz")).status === 200;
    await eventually("the host in the cluster again", joined, { timeout: 60_000, every: 300 });
    assert.equal(await reach("db"), "reached");
  });
});
