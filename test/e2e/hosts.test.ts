import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { Network, skipUnlessNetworks } from "../support/network.ts";
import type { Program } from "../support/program.ts";
import { login } from "./cluster.ts";
import { eventsAt, Host, listed, logIn, makeUser, nodesAt } from "./hosts.ts";

/** The guide's addresses. People are outside, and the proxies alone are in both networks. */
const plan = {
  auth: ["10.0.10.5"],
  proxy: ["10.0.10.6", "203.0.113.6"],
  proxy2: ["10.0.10.7", "203.0.113.7"],
  db1: ["10.0.10.11"],
  // The proxies are not in its first network.
  db2: ["10.0.20.12", "10.0.10.12"],
  laptop: ["203.0.113.50"],
} as const;
const site = "proxy.example.com";
const secondSite = "proxy2.example.com";
const authServer = "--auth-server=10.0.10.5";

suite("a cluster of several hosts, by the lines of the admin guide", { skip: skipUnlessNetworks }, () => {
  const stack = new AsyncDisposableStack();
  let network: Network;
  let hosts: Record<keyof typeof plan, Host>;
  let db1: Program;

  before(async () => {
    network = stack.use(
      await Network.open(plan, {
        [site]: plan.proxy[1],
        [secondSite]: plan.proxy2[1],
        "auth.example.com": plan.auth[0],
      }),
    );
    hosts = Object.fromEntries(
      Object.keys(plan).map((name) => [name, new Host(network.machine(name))]),
    ) as typeof hosts;
    const config = join(hosts.auth.machine.home, "teleport.yaml");
    await writeFile(
      config,
      "auth_service: {cluster_name: main, public_addr: auth.example.com, authentication: {second_factor: off}}\n",
    );
    const auth = stack.use(await hosts.auth.teleport("--roles=auth", "-c", config));
    await auth.line(/Auth service is starting on 0\.0\.0\.0:3025/);
    const said = await hosts.auth.mustTctl(
      "nodes",
      "add",
      "--ttl=5m",
      "--roles=node,proxy",
      "--token=secret-value",
    );
    assert.match(said, /^The invite token: secret-value\n/);
    const proxy = stack.use(await hosts.proxy.teleport("--roles=proxy", "--token=secret-value", authServer));
    await proxy.line(/Web proxy service is starting on 0\.0\.0\.0:3080/);
  });
  after(() => stack.disposeAsync());

  test("ACC-04a: a node on a host of its own joins by the address alone, and starts again without a token", async () => {
    const invitation = await hosts.auth.mustTctl("nodes", "add", "--ttl=5m", "--roles=node");
    const token = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1];
    assert.match(invitation, /--auth-server=auth\.example\.com:3025$/m);
    const first = await hosts.db1.teleport("--roles=node", `--token=${token}`, authServer);
    await using _ = first;
    const { id, address } = await listed(hosts.auth, "db1");
    assert.equal(address, "10.0.10.11:3022");
    assert.match(first.said, /warning: joining without a CA pin/);
    first.kill("SIGTERM");
    assert.equal(await first.ended(), 0, first.said);
    assert.deepEqual(await nodesAt(hosts.auth), []);

    db1 = stack.use(await hosts.db1.teleport("--roles=node", authServer));
    assert.deepEqual(await listed(hosts.auth, "db1"), { name: "db1", id, address });
    assert.doesNotMatch(db1.said, /warning/);
  });

  test("ACC-07: a host with the cluster's CA pin joins in silence, one with another pin keeps its token", async () => {
    const invitation = await hosts.auth.mustTctl("nodes", "add", "--ttl=5m", "--roles=node");
    const token = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1];
    const pin = /sha256:[0-9a-f]{64}/.exec(await hosts.auth.mustTctl("status"))?.[0];
    const other = `sha256:${"0".repeat(64)}`;
    const flags = [
      "--roles=node",
      `--token=${token}`,
      "--auth-server=auth.example.com:3025",
      "--advertise-ip=10.0.10.12",
    ];
    await using refused = await hosts.db2.teleport(...flags, `--ca-pin=${other}`);
    await refused.line(/the CA pin given does not match/);
    refused.kill("SIGTERM");
    await refused.ended();
    const events = (await eventsAt(hosts.auth)).filter(({ hostname }) => hostname === "db2");
    assert.deepEqual(events, []);

    const db2 = stack.use(await hosts.db2.teleport(...flags, `--ca-pin=${pin}`));
    await listed(hosts.auth, "db2");
    assert.doesNotMatch(db2.said, /warning/);
  });

  test("a person outside works on the nodes, and has no other way to them than the proxy", async () => {
    await makeUser(hosts.auth, hosts.laptop, site, "joe");
    const { laptop } = hosts;
    const [header, , ...rows] = (await laptop.mustTsh(["ls"])).trimEnd().split("\n");
    assert.match(header ?? "", /^Node Name +Node ID +Address +Labels/);
    assert.deepEqual(
      rows.map((row) => row.trim().split(/ +/)).map(([name, , address]) => [name, address]),
      [
        ["db1", "10.0.10.11:3022"],
        ["db2", "10.0.10.12:3022"],
      ],
    );
    for (const host of ["db1", "db2"]) {
      assert.equal(await laptop.mustTsh(["ssh", `${login}@${host}`, "hostname"]), `${host}\n`);
    }
    const direct = await laptop.run("ssh", ["-p3022", ...nobodyAsks, "10.0.10.11", "true"]);
    assert.match(direct.err, /Network is unreachable/);

    const start = await eventually("the command's event", async () =>
      (await eventsAt(hosts.auth)).find(({ event, command }) => event === "exec" && command === "hostname"),
    );
    assert.match(String(start["addr.remote"]), /^203\.0\.113\.50:\d+$/);
    assert.match(String(start["addr.local"]), /^10\.0\.10\.1[12]:3022$/);
  });

  test("advertise_ip is the address at which a node of two networks is reached, and in its certificate", async () => {
    const { laptop } = hosts;
    assert.equal(await laptop.mustTsh(["ssh", `${login}@10.0.10.12`, "hostname"]), "db2\n");
    const other = await laptop.tsh(["ssh", `${login}@10.0.20.12`, "hostname"]);
    assert.equal(other.code, 1);
    assert.match(other.err, /10\.0\.20\.12.*unreachable/s);
  });

  test("the person's own ssh and scp reach them too", async () => {
    const { laptop } = hosts;
    const file = (name: string): string => join(laptop.machine.home, name);
    await writeFile(file("ssh_config"), await laptop.mustTsh(["config"]));
    const flags = ["-F", file("ssh_config"), "-o", "BatchMode=yes"];
    assert.equal(await laptop.mustRun("ssh", [...flags, `${login}@db1.main`, "hostname"]), "db1\n");
    const content = randomBytes(300_000);
    await writeFile(file("sent"), content);
    await laptop.mustRun("scp", [...flags, file("sent"), `${login}@db2.main:${file("there")}`]);
    assert.ok(content.equals(await readFile(file("there"))));
    await laptop.mustTsh(["scp", `${login}@db1:${file("there")}`, file("back")]);
    assert.ok(content.equals(await readFile(file("back"))));
  });

  test("ACC-04c: a second proxy serves logins and ssh, without the first; a token for nodes makes none", async () => {
    const invitation = await hosts.auth.mustTctl("nodes", "add", "--ttl=5m", "--roles=node");
    const nodesOnly = /^The invite token: ([0-9a-f]{32})$/m.exec(invitation)?.[1];
    await using refused = await hosts.proxy2.teleport("--roles=proxy", `--token=${nodesOnly}`, authServer);
    await refused.line(/cannot join the cluster/);
    assert.match(refused.said, /does not allow \\"Proxy\\" role/);
    refused.kill("SIGTERM");
    await refused.ended();

    const second = stack.use(
      await hosts.proxy2.teleport("--roles=proxy", "--token=secret-value", authServer),
    );
    await second.line(/Web proxy service is starting/);
    await hosts.proxy.machine.cut(plan.proxy[1]);
    try {
      await logIn(hosts.laptop, secondSite, "joe");
      assert.match(await hosts.laptop.mustTsh(["status"]), /https:\/\/proxy2\.example\.com:3080/);
      assert.equal(await hosts.laptop.mustTsh(["ssh", `${login}@db1`, "hostname"]), "db1\n");
    } finally {
      await hosts.proxy.machine.mend(plan.proxy[1]);
    }
  });

  test("AUTH-21: a node that starts with a new address is certified for it and reached there", async () => {
    const { id } = await listed(hosts.auth, "db1");
    db1.kill("SIGTERM");
    await db1.ended();
    await hosts.db1.machine.readdress(["10.0.10.111"]);
    db1 = stack.use(await hosts.db1.teleport("--roles=node", authServer));
    assert.deepEqual(await listed(hosts.auth, "db1"), { name: "db1", id, address: "10.0.10.111:3022" });
    // By its address: the certificate has to name it.
    assert.equal(await hosts.laptop.mustTsh(["ssh", `${login}@10.0.10.111`, "hostname"]), "db1\n");
  });

  test("of two hosts of one name an id tells which is meant", async () => {
    const { laptop } = hosts;
    await using twin = await hosts.proxy2.teleport(
      "--roles=node",
      "--nodename=db1",
      "--token=secret-value",
      authServer,
    );
    const of = await eventually("both", async () => {
      const rows = (await nodesAt(hosts.auth)).filter(({ name }) => name === "db1");
      return rows.length === 2 && rows;
    });
    const refused = await laptop.tsh(["ssh", `${login}@db1`, "true"]);
    assert.equal(refused.code, 1);
    for (const { id, address } of of) {
      assert.ok(refused.err.includes(id), refused.err);
      const [host = ""] = address.split(":");
      const said = await laptop.mustTsh(["ssh", `${login}@${id}`, "echo $SSH_CONNECTION"]);
      assert.match(said, new RegExp(` ${host} 3022$`, "m"));
    }
    twin.kill();
    await twin.ended();
    assert.equal(await laptop.mustTsh(["ssh", `${login}@db1`, "hostname"]), "db1\n");
  });
});

const nobodyAsks = [
  "-o",
  "BatchMode=yes",
  "-o",
  "StrictHostKeyChecking=no",
  "-o",
  "UserKnownHostsFile=/dev/null",
];
