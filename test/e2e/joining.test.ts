import assert from "node:assert/strict";
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { day, hour, minute } from "#core/clock";
import { issueTls, makeTlsKey } from "#pki";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { mustRun, run } from "../support/run.ts";
import { snooper } from "../support/snooper.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { type Host, type HostOptions, programs, quiet, startHost } from "./daemon.ts";

const unverified = /warning: .*the auth server's identity is not verified/i;

suite("hosts that join a cluster", { concurrency: 2 }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let pin: string;
  const token = "for-every-role";

  before(async () => {
    cluster = stack.use(
      await startCluster({
        config: { auth_service: { tokens: [`node,proxy,auth:${token}`, "node:for-nodes-only"] } },
      }),
    );
    pin = /sha256:[0-9a-f]{64}/.exec(await cluster.mustTctl("status"))?.[0] ?? "";
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
  });
  after(() => stack.disposeAsync());

  const host = (name: string, role: HostOptions["role"], more: Partial<HostOptions> = {}): Promise<Host> =>
    startHost({
      name,
      role,
      folder: cluster.folder.at(name),
      authPort: cluster.ports.auth,
      flags: [`--token=${token}`, `--ca-pin=${pin}`],
      ...more,
    });
  type Listed = { metadata: { name: string }; spec: { hostname: string; addr: string } };
  const listed = async (kind: "nodes" | "proxies", name: string): Promise<Listed | undefined> => {
    const found = JSON.parse(await cluster.mustTctl("get", kind, "--format=json")) as Listed[];
    return found.find(({ spec }) => spec.hostname === name);
  };
  const reach = (name: string) => cluster.tsh(["ssh", `${login}@${name}`, "echo reached"]);
  const idOf = async (name: string): Promise<string> =>
    (await readFile(cluster.folder.at(name, "data", "host_uuid"), "utf8")).trim();

  test("ACC-04a: a node joins by a token, which no later start needs, nor minds when it is not valid", async () => {
    {
      await using first = await host("db", "node");
      await first.ready();
      assert.equal((await listed("nodes", "db"))?.spec.addr, first.address);
      assert.match(
        await cluster.mustTctl("nodes", "ls"),
        /^db +[-0-9a-f]{36} +127\.0\.0\.1:\d+ +host:db *$/m,
      );
    }
    for (const flags of [[], ["--token=never-was-valid"], ["--token=/no/such/file"]]) {
      await using again = await host("db", "node", { flags });
      await again.ready();
      assert.equal((await listed("nodes", "db"))?.metadata.name, await idOf("db"));
      assert.doesNotMatch(again.program.said, /warning|ERROR/);
    }
    assert.equal(
      (await cluster.events()).filter((e) => e.event === "node.join" && e.hostname === "db").length,
      1,
    );
  });

  test("ACC-04c: a second proxy serves login, tsh ssh and stock ssh, when the first is not asked", {
    skip: skipUnless("ssh"),
  }, async () => {
    await using second = await host("second", "proxy");
    await second.ready();
    const HOME = cluster.folder.at("home of the second");
    await mustRun("mkdir", ["-m", "700", HOME]);
    const env = { ...quiet, HOME };
    const options = { env, input: "correct horse\n" };
    await mustRun(programs.tsh, ["login", "--insecure", `--proxy=${second.proxy}`, "--user=joe"], options);
    const ran = await mustRun(programs.tsh, ["ssh", `${login}@testnode`, "echo by the second"], { env });
    assert.equal(ran, "by the second\n");
    assert.match(await mustRun(programs.tsh, ["ls"], { env }), /^testnode /m);

    const config = cluster.folder.at("second.ssh_config");
    const printed = await mustRun(programs.tsh, ["config", `--port=${cluster.ports.node}`], { env });
    assert.match(printed, new RegExp(`Port ${second.proxy.split(",")[1]}\n`));
    await writeFile(config, printed);
    const stock = ["-F", config, "-o", "BatchMode=yes", `${login}@testnode.main`, "echo by stock ssh"];
    assert.equal(await mustRun("ssh", stock, { env }), "by stock ssh\n");
    assert.ok(await listed("proxies", "second"));
  });

  test("ACC-04c: a proxy with a token for nodes only is refused", async () => {
    await using refused = await host("no-proxy", "proxy", { flags: ["--token=for-nodes-only"] });
    await refused.program.line(/the token does not allow .*Proxy.* role/);
    assert.equal((await refused.diag("/readyz")).status, 503);
    assert.equal(await listed("proxies", "no-proxy"), undefined);
  });

  test("OVW-31: node and proxy in one process are two members of one host id", async () => {
    await using both = await host("both", "node,proxy");
    await both.ready();
    const id = await idOf("both");
    assert.equal((await listed("nodes", "both"))?.metadata.name, id);
    assert.equal((await listed("proxies", "both"))?.metadata.name, id);
    const [node, proxy] = await Promise.all(
      ["node", "proxy"].map(async (role) => stored(cluster.folder.at("both", "data"), role)),
    );
    assert.notEqual(node?.tls_cert, proxy?.tls_cert);
  });

  test("ACC-07: by the right pin a node joins without a warning; by a wrong one its token stays with it", async () => {
    {
      await using good = await host("pinned", "node");
      await good.ready();
      assert.doesNotMatch(good.program.said, /warning/i);
    }
    await using spy = await snooper(cluster.ports.auth);
    const flags = [`--token=${token}`, `--ca-pin=${pin.replace(/[0-9a-f]{8}$/, "00000000")}`];
    await using wrong = await host("mispinned", "node", { authPort: spy.port, flags });
    await wrong.program.line(/the CA pin given does not match the cluster's.*tctl status/);
    assert.equal((await wrong.diag("/readyz")).status, 503);
    assert.ok(spy.heard.includes("POST ") && !spy.heard.includes(token));
    // The right pin, and a server in between that is not of that authority.
    await using between = await host("between", "node", { authPort: spy.port });
    await between.program.line(/cannot join the cluster/);
    assert.ok(!spy.heard.includes(token));
  });

  test("ACC-08: the same by the file; without a pin there is a warning, however little is logged and wherever to", async () => {
    const file = { auth_token: token, auth_servers: [`127.0.0.1:${cluster.ports.auth}`] };
    const flags: string[] = [];
    {
      await using good = await host("by-file", "node", { flags, teleport: { ...file, ca_pin: pin } });
      await good.ready();
      assert.doesNotMatch(good.program.said, /warning/i);
    }
    const wrong = { ...file, ca_pin: `sha256:${"0".repeat(64)}` };
    await using mispinned = await host("by-file-wrong", "node", { flags, teleport: wrong });
    await mispinned.program.line(/does not match/);
    for (const [name, log] of [
      ["plain", undefined],
      ["quiet", { severity: "error" }],
      ["elsewhere", { severity: "error", output: cluster.folder.at("elsewhere.log") }],
    ] as const) {
      await using unpinned = await host(name, "node", { flags, teleport: { ...file, ...(log && { log }) } });
      await unpinned.ready();
      assert.match(unpinned.program.said, unverified);
    }
  });

  test("ACC-08: a pin that is none is wrong usage", async () => {
    for (const text of ["abc", "md5:00", "sha256:00", `sha256:${"z".repeat(64)}`]) {
      const { code, err } = await run(
        programs.teleport,
        ["start", "-c", "/dev/null", "--roles=node", `--token=${token}`, `--ca-pin=${text}`],
        { env: quiet },
      );
      assert.deepEqual([code, /^error: --ca-pin: .*sha256:<64 hex digits>/m.test(err)], [2, true], err);
    }
  });

  test("AUTH-21: a node with another name is certified anew at its start, and the others know it at once", async () => {
    {
      await using before = await host("old-name", "node");
      await before.ready();
      assert.equal((await reach("old-name")).out, "reached\n");
    }
    const id = await idOf("old-name");
    const flags = ["--nodename=new-name"];
    await using renamed = await host("old-name", "node", { flags, teleport: { advertise_ip: "127.0.0.1" } });
    await renamed.ready();
    assert.equal((await listed("nodes", "new-name"))?.metadata.name, id);
    assert.equal(await listed("nodes", "old-name"), undefined);
    // tsh verifies the host by the name that it was given.
    const { out, err } = await eventually("a way to the new name", async () => {
      const there = await reach("new-name");
      return there.code === 0 && there;
    });
    assert.equal(out, "reached\n", err);
    assert.notEqual((await reach("old-name")).code, 0);
  });

  test("AUTH-24: past two thirds of its certificate's life a member gets a new one by itself, past its end it joins again", async () => {
    const folder = cluster.folder.at("aged", "data");
    {
      await using young = await host("aged", "node");
      await young.ready();
    }
    const [key, cert] = await Promise.all([
      cluster.mustTctl("auth", "export", "--type=tls", "--keys"),
      cluster.mustTctl("auth", "export", "--type=tls"),
    ]);
    /** The identity with a certificate of its own life, as the cluster would have issued it then. */
    const age = async (notBefore: number, notAfter: number): Promise<string> => {
      const identity = await stored(folder, "node");
      const { publicKey, privateKey } = await makeTlsKey("ecdsa-p256");
      const subject = { commonName: `${await idOf("aged")}.main`, organizations: ["Node"] };
      const ca = { cert, key };
      const tls_cert = await issueTls({ ca, publicKey, subject, dnsNames: [], notBefore, notAfter });
      await writeFile(
        join(folder, "proc", "node.json"),
        JSON.stringify({ ...identity, tls_cert, tls_key: privateKey }),
      );
      return tls_cert;
    };
    const joins = async (): Promise<number> =>
      (await cluster.events()).filter((e) => e.event === "node.join" && e.hostname === "aged").length;

    const late = await age(Date.now() - 61 * day, Date.now() + 29 * day);
    {
      await using older = await host("aged", "node", { flags: [] });
      await older.ready();
      await eventually("a new certificate", async () => (await stored(folder, "node")).tls_cert !== late);
      assert.equal((await reach("aged")).out, "reached\n");
      assert.equal(await joins(), 1);
    }
    const over = await age(Date.now() - hour, Date.now() - minute);
    {
      await using stranger = await host("aged", "node", { flags: [] });
      await stranger.program.line(/needs a provisioning token/);
    }
    await using again = await host("aged", "node");
    await again.ready();
    assert.notEqual((await stored(folder, "node")).tls_cert, over);
    assert.equal(await joins(), 2);
  });

  test("a second auth server is refused, as the storage of this one is not shared, and makes no cluster", async () => {
    const at = (name: string): string => cluster.folder.at("second-auth", name);
    const second = async (flags: readonly string[], servers: readonly string[]) => {
      await mustRun("mkdir", ["-p", "-m", "700", cluster.folder.at("second-auth")]);
      const file = {
        teleport: { data_dir: at("data"), auth_token: token, auth_servers: servers },
        auth_service: { listen_addr: `127.0.0.1:${await freePort()}` },
      };
      await writeFile(at("teleport.yaml"), stringify(file));
      return run(programs.teleport, ["start", "-c", at("teleport.yaml"), ...flags], { env: quiet });
    };
    const first = `127.0.0.1:${cluster.ports.auth}`;
    for (const { code, out, err } of [
      await second(["--roles=auth", `--token=${token}`, `--auth-server=${first}`], []),
      await second(["--roles=auth"], [first]),
      await second([], ["127.0.0.1:1", first]),
    ]) {
      assert.equal(code, 2, err);
      assert.match(err, new RegExp(`a second auth server beside ${first} needs storage that both share`));
      assert.equal(out, "");
    }
    await assert.rejects(access(at("data/proc/auth.json")));
  });

  test("AUTH-22: hosts that are started together all join", async () => {
    const all = await Promise.all(["a", "b", "c"].map((name) => host(`together-${name}`, "node")));
    await using group = new AsyncDisposableStack();
    for (const one of all) group.use(one);
    await Promise.all(all.map((one) => one.ready()));
  });
});

/** What a role of a host keeps of its identity. */
async function stored(dataDir: string, role: string): Promise<{ tls_cert: string }> {
  return JSON.parse(await readFile(join(dataDir, "proc", `${role}.json`), "utf8")) as { tls_cert: string };
}
