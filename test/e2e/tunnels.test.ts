// Two clusters by a tunnel: people of main work in east, through main's proxy and nothing else.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { type Ran, type RunOptions, run } from "../support/run.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, login } from "./cluster.ts";
import { type Daemon, programs, quiet, startDaemon } from "./daemon.ts";
import { type TwoClusters, twoClusters } from "./linked.ts";

const auditor = `kind: role
version: v3
metadata: {name: auditor}
spec:
  allow:
    logins: ["{{internal.logins}}"]
    node_labels: {env: east}
    rules:
    - {resources: [session, event], verbs: [list, read]}
`;
const mapping = ["role_map:", "  - remote: admin", "    local: [auditor]"];

suite("a cluster behind a tunnel", { skip: skipUnless("ssh", "scp", "ssh-agent") }, () => {
  const stack = new AsyncDisposableStack();
  let two: TwoClusters;
  let main: Cluster;
  let east: Cluster;
  let env: NonNullable<RunOptions["env"]>;
  const mainFile = (name: string): string => main.folder.at(name);
  const inEast = (...args: string[]): Promise<Ran> => main.tsh(["ssh", "--cluster=east", ...args]);
  const somewhere = `${login}@eastnode`;

  before(async () => {
    two = stack.use(await twoClusters());
    ({ main, east } = two);
    await writeFile(east.folder.at("auditor.yaml"), auditor);
    await east.mustTctl("create", east.folder.at("auditor.yaml"));
    await main.makeUser("joe");
    await east.makeUser("joe");
    const agent = stack.use(await Program.start("ssh-agent", ["-D", "-a", mainFile("agent")]));
    await agent.line(/SSH_AUTH_SOCK/);
    env = { ...quiet, HOME: main.home, SSH_AUTH_SOCK: mainFile("agent") };
    await main.logIn("joe", { env });
  });
  after(() => stack.disposeAsync());

  test("ACC-33 to ACC-36: east is linked, and both are online", async () => {
    const { code, out, err } = await two.link(await two.invite(), mapping);
    assert.deepEqual([code, out], [0, 'trusted cluster "main" has been created\n'], err);
    await two.seen("online");
    const { out: table } = await main.tsh(["clusters"]);
    assert.match(table, /^Cluster Name +Status *\n-+ +-+ *\nmain +online *\neast +online *\n$/);
    assert.match(await main.mustTctl("get", "rc", "--format=text"), /^east +online +\d{4}-/m);
  });

  test("ACC-36c: tsh ls --cluster=east, for a login from before the link", async () => {
    const { out } = await main.tsh(["ls", "--cluster=east"]);
    assert.match(out, /^Node Name +Node ID +Address +Labels *$/m);
    assert.match(out, /^eastnode +[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} +127\.0\.0\.1:\d+ +env=east *$/m);
    assert.doesNotMatch(out, /testnode/);
  });

  test("ACC-30c, ACC-36d, TC-19: tsh ssh --cluster=east, whose log tells of it", async () => {
    const there = await inEast(somewhere, "echo in $SSH_TELEPORT_CLUSTER_NAME as $SSH_TELEPORT_USER; exit 5");
    assert.deepEqual([there.code, there.out], [5, "in east as joe\n"], there.err);
    const done = await east.event("the command", (e) => e.event === "exec" && e.login === login);
    assert.equal(done.user, "joe");
    const opened = await main.event(
      "the way there",
      (e) => e.code === "T4030I" && /@east$/.test(String(e.target)),
    );
    assert.equal(opened.target, "eastnode@east");
    assert.match(String(done["addr.remote"]), /^127\.0\.0\.1:\d+$/);
    assert.equal(done["addr.remote"], opened["addr.remote"]);
  });

  test("a session in east is recorded there, and played by --cluster", async () => {
    await using shell = new Terminal(programs.tsh, ["ssh", "--cluster=east", somewhere], { env });
    shell.type("echo here-$((6 * 7)); echo $SSH_SESSION_ID; exit 4\r");
    const [, sid = ""] = await shell.sees(/here-42\r\n([0-9a-f-]{36})/);
    assert.equal(await shell.ended(), 4);
    await east.event("its recording", (e) => e.event === "session.upload" && e.sid === sid).catch(() => {});
    const { out } = await eventually("a recording", async () => {
      const played = await main.tsh(["play", "--cluster=east", sid]);
      return played.code === 0 && played;
    });
    assert.match(out, /here-42/);
    assert.equal((await main.tsh(["play", sid])).code, 1);
  });

  test("files are copied there and back", async () => {
    await writeFile(mainFile("sent"), "across\n".repeat(100_000));
    const target = east.folder.at("copied");
    const sent = await main.tsh(["scp", "--cluster=east", mainFile("sent"), `${somewhere}:${target}`]);
    assert.equal(sent.code, 0, sent.err);
    assert.equal(await readFile(target, "utf8"), await readFile(mainFile("sent"), "utf8"));
    const got = await main.tsh(["scp", "--cluster=east", `${somewhere}:${target}`, mainFile("back")]);
    assert.equal(got.code, 0, got.err);
    assert.equal(await readFile(mainFile("back"), "utf8"), await readFile(mainFile("sent"), "utf8"));
  });

  test("ACC-31: tsh login east makes it the cluster of what follows, tsh login joe takes it back", async () => {
    const logIn = (name: string): Promise<Ran> => main.tsh(["login", "--insecure", name]);
    assert.equal((await logIn("east")).code, 0);
    assert.match((await main.tsh(["ls"])).out, /^eastnode /m);
    const there = await main.tsh(["ssh", somewhere, "echo $SSH_TELEPORT_CLUSTER_NAME"]);
    assert.equal(there.out, "east\n", there.err);
    assert.equal((await logIn("joe")).code, 0);
    assert.match((await main.tsh(["ls"])).out, /^testnode /m);
    assert.equal((await logIn("nosuch")).code, 1);
  });

  /** The guide's `ssh_config` for a remote cluster; the host part of names is of a domain that no DNS knows. */
  const guideConfig = async (): Promise<string> => {
    const [ofMain, ofEast] = await Promise.all(
      [main, east].map((one) => one.mustTctl("auth", "export", "--type=host")),
    );
    await writeFile(mainFile("known_hosts"), ofEast ?? "");
    await writeFile(mainFile("known_proxies"), (ofMain ?? "").replace("*.main", "127.0.0.1"));
    const config = mainFile("ssh_config");
    const proxy = `ssh -F ${config} -p ${main.ports.proxy} -o UserKnownHostsFile=${mainFile("known_proxies")} %r@127.0.0.1 -s proxy:%h:%p@east`;
    const lines = [
      ...["Host *.east", `  Port ${east.ports.node}`, `  ProxyCommand ${proxy}`],
      ...["Host *", `  User ${login}`, "  BatchMode yes", "  StrictHostKeyChecking yes"],
      ...[`  UserKnownHostsFile ${mainFile("known_hosts")}`, "  GlobalKnownHostsFile /dev/null", ""],
    ];
    await writeFile(config, lines.join("\n"));
    return config;
  };

  test("ACC-49: stock ssh and scp reach a remote node by proxy:%h:%p@east, at its port, with no DNS for it", async () => {
    const config = await guideConfig();
    const there = await run("ssh", ["-F", config, "eastnode.east", "echo to east; exit 6"], { env });
    assert.deepEqual([there.code, there.out], [6, "to east\n"], there.err);
    const copied = await run(
      "scp",
      ["-F", config, mainFile("sent"), `eastnode.east:${east.folder.at("by-scp")}`],
      { env },
    );
    assert.equal(copied.code, 0, copied.err);
    const port = await run("ssh", ["-F", config, "-p", "1", "eastnode.east", "true"], { env });
    assert.equal(port.code, 255);
    assert.match(port.err, /failed connecting to node eastnode\.east/);
    const nowhere = await run("ssh", ["-F", config, "nosuch.east", "true"], { env });
    assert.match(nowhere.err, /there is no node "nosuch\.east" in this cluster/);
  });

  test("PRX-05: the first label of a name is enough, whatever domain is behind it", async () => {
    const there = await run(
      "ssh",
      [
        "-F",
        mainFile("ssh_config"),
        "-o",
        "HostKeyAlias=eastnode.east",
        "eastnode.any.domain.east",
        "echo in",
      ],
      { env },
    );
    assert.deepEqual([there.code, there.out], [0, "in\n"], there.err);
  });

  test("what tsh config prints for east works with stock ssh too", async () => {
    const printed = await main.mustTsh(["config", "--cluster=east", `--port=${east.ports.node}`], { env });
    await writeFile(mainFile("printed"), printed);
    const there = await run("ssh", ["-F", mainFile("printed"), `${login}@eastnode.east`, "echo by config"], {
      env,
    });
    assert.deepEqual([there.code, there.out], [0, "by config\n"], there.err);
  });

  test("S32, TC-01: nobody of east gets to main, and the same name there is somebody else here", async () => {
    await east.logIn("joe");
    const away = await east.tsh(["ssh", "--cluster=main", `${login}@testnode`, "true"]);
    assert.equal(away.code, 1);
    assert.match(
      away.err,
      /nothing is known of the cluster main|unknown cluster "main"|not a host of main|could not prove/,
    );
    // With the admin's role at home joe is an auditor in east: no more.
    const made = await main.tsh(["ssh", "--cluster=east", "stranger@eastnode", "true"]);
    assert.equal(made.code, 1);
    await east.event("a refusal", (e) => e.code === "T3007W" && e.user === "joe");
  });

  test("who has no role that is mapped is let in nowhere, and east's log has it", async () => {
    await writeFile(
      mainFile("dev.yaml"),
      `kind: role\nversion: v3\nmetadata: {name: dev}\nspec: {allow: {logins: [${login}], node_labels: {"*": "*"}}}\n---\nkind: user\nversion: v2\nmetadata: {name: ann}\nspec: {roles: [dev]}\n`,
    );
    await main.mustTctl("create", mainFile("dev.yaml"));
    await main.mustTctl("auth", "sign", "--user=ann", `--out=${mainFile("ann")}`);
    const there = await main.tsh([
      ...["-i", mainFile("ann"), "--insecure", `--proxy=${main.proxy}`],
      ...["ssh", "--cluster=east", somewhere, "true"],
    ]);
    assert.equal(there.code, 1);
    assert.match(there.err, /no role of main that you have is mapped to one of this cluster/);
    await east.event("the refusal", (e) => e.code === "T3007W" && e.user === "ann");
  });

  test("ACC-37, TC-13: disabled, east is offline, what runs over the tunnel ends; enabled again it is back", async () => {
    await using shell = new Terminal(programs.tsh, ["ssh", "--cluster=east", somewhere], { env });
    shell.type("echo up-$((6 * 7))\r");
    await shell.sees(/up-42\r\n/);
    const off = await two.link("", ["enabled: false", ...mapping], "-f");
    assert.deepEqual([off.code, off.out], [0, 'trusted cluster "main" has been updated\n'], off.err);
    assert.notEqual(await shell.ended(), 0);
    await two.seen("offline");
    const there = await inEast(somewhere, "true");
    assert.equal(there.code, 1);
    assert.match(there.err, /failed connecting to node eastnode\. the cluster "east" is not connected/);
    const on = await two.link("", ["enabled: true", ...mapping], "-f");
    assert.equal(on.code, 0, on.err);
    await two.seen("online");
    assert.equal((await inEast(somewhere, "echo back")).out, "back\n");
  });

  test("TUN-14: killed and started again, either side finds the other", async () => {
    for (const [cluster, flags] of [
      [east, ["--insecure"]],
      [main, []],
    ] as const) {
      await cluster.daemon.stop("SIGKILL").catch(() => {});
      const again: Daemon = stack.use(await startDaemon(cluster.config, { flags }));
      await again.ready();
      const there = await eventually(
        "a way to east",
        async () => {
          const ran = await inEast(somewhere, "echo again");
          return ran.code === 0 && ran;
        },
        { timeout: 45_000, every: 500 },
      );
      assert.equal(there.out, "again\n");
    }
    await two.seen("online");
  });

  test("ACC-38: tctl rm tc/east on main drops the tunnel and refuses the next; east still knows main", async () => {
    assert.equal(await main.mustTctl("rm", "tc/east"), 'remote cluster "east" has been deleted\n');
    const there = await eventually("no more way to east", async () => {
      const ran = await inEast(somewhere, "true");
      return ran.code !== 0 && ran;
    });
    assert.match(there.err, /unknown cluster "east"/);
    assert.doesNotMatch((await main.tsh(["clusters"])).out, /east/);
    assert.match(await east.mustTctl("get", "tc", "--format=text"), /^main +true /m);
    assert.match(await east.mustTctl("get", "cas"), /name: main/);
    assert.doesNotMatch(await main.mustTctl("get", "cas"), /name: east/);
  });

  test("ACC-39: and with tctl rm tc/main on east all trust is over", async () => {
    assert.equal(await east.mustTctl("rm", "tc/main"), 'trusted cluster "main" has been deleted\n');
    assert.doesNotMatch(await east.mustTctl("get", "cas"), /name: main/);
  });
});
