import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { hour } from "#core/clock";
import { parsePublicKeyLine } from "#ssh/keys";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { run } from "../support/run.ts";
import { snooper } from "../support/snooper.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { type Host, programs, quiet, startHost } from "./daemon.ts";

interface Rotation {
  readonly state?: string;
  readonly phase?: string;
  readonly mode?: string;
  readonly started?: string;
  readonly grace_period?: string;
  readonly schedule?: Readonly<Record<string, string>>;
}
interface Status {
  readonly ca_pins: readonly string[];
  readonly rotation?: { readonly user: Rotation; readonly host: Rotation };
  readonly behind?: readonly { readonly name: string; readonly kind: string; readonly offline: boolean }[];
}

const stamp = "[A-Z][a-z]{2} \\d{1,2} \\d\\d:\\d\\d:\\d\\d UTC";
const token = "for-every-role";

suite("rotation of the certificate authorities", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let db: Host;

  const status = async (): Promise<Status> =>
    JSON.parse(await cluster.mustTctl("status", "--format=json")) as Status;
  const host = (name: string, pin: string): Promise<Host> =>
    startHost({
      name,
      role: "node",
      folder: cluster.folder.at(name),
      authPort: cluster.ports.auth,
      flags: [`--token=${token}`, `--ca-pin=${pin}`],
    });
  const rotate = (...flags: string[]): Promise<string> => cluster.mustTctl("auth", "rotate", ...flags);
  const reach = async (name: string, as = login): Promise<string> =>
    (await cluster.mustTsh(["ssh", `${as}@${name}`, "echo reached"])).trim();
  /** All but those that are away do what the phase asks of them. */
  const followed = (): Promise<unknown> =>
    eventually(
      "everybody at the phase of now",
      async () => (await status()).behind?.every(({ offline }) => offline),
      { every: 200 },
    );
  const lines = async (type: string): Promise<string[]> =>
    (await cluster.mustTctl("auth", "export", `--type=${type}`)).trim().split("\n");
  /** Which key has signed the certificate that a node shows. */
  const shownBy = async (folder: string, role: string): Promise<string> => {
    const kept = JSON.parse(await readFile(`${folder}/proc/${role}.json`, "utf8")) as { ssh_cert: string };
    const { certificate } = parsePublicKeyLine(kept.ssh_cert).key;
    assert.ok(certificate);
    return certificate.signatureKey.blob.toBase64();
  };

  const logInAgain = async (): Promise<void> => {
    await cluster.mustTsh(["logout"]);
    await cluster.logIn("joe");
  };

  before(async () => {
    cluster = stack.use(
      await startCluster({ config: { auth_service: { tokens: [`node,proxy:${token}`] } } }),
    );
    const [pin = ""] = (await status()).ca_pins;
    db = stack.use(await host("db", pin));
    {
      await using away = await host("away", pin);
      await Promise.all([db.ready(), away.ready()]);
    }
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    assert.equal(await reach("db"), "reached");
  });
  after(() => stack.disposeAsync());

  test("a rehearsal names who would be cut off, and changes nothing", async () => {
    const said = await rotate("--rehearse");
    assert.match(said, /^away +node +[-0-9a-f]{36} +offline$/m);
    assert.doesNotMatch(said, /^(db|testnode) /m);
    assert.match(said, /would be cut off/);
    const atOnce = await rotate("--rehearse", "--grace-period=0");
    assert.match(atOnce, /^db +node /m);
    assert.match(await rotate("--rehearse", "--type=user"), /No host would be cut off/);
    const shown = await cluster.mustTctl("status");
    assert.match(shown, /^User CA never updated\nHost CA never updated\n/m);
  });

  test("ACC-52, ACC-54: both authorities, for 48 hours unless it is said otherwise; taken back by hand", async () => {
    const before = await status();
    assert.equal(
      await rotate(),
      "Initiated certificate authority rotation. To check status use 'tctl status'\n",
    );
    const said = await cluster.mustTctl("status");
    for (const ca of ["User", "Host"])
      assert.match(
        said,
        new RegExp(`^${ca} CA initialized \\(mode: auto, started: ${stamp}, ending: ${stamp}\\)$`, "m"),
      );
    const { rotation, ca_pins } = await status();
    for (const one of [rotation?.user, rotation?.host]) {
      const from = Date.parse(one?.started ?? "");
      const at = (phase: string): number => (Date.parse(one?.schedule?.[phase] ?? "") - from) / hour;
      assert.deepEqual(["update_clients", "update_servers", "standby"].map(at), [16, 32, 48]);
    }
    assert.equal(ca_pins.length, 2);
    const again = await cluster.tctl("auth", "rotate");
    assert.match(again.err, /can not initiate a rotation of the (user|host) CA while another is in progress/);
    assert.equal(again.code, 1);
    const skipped = await cluster.tctl("auth", "rotate", "--manual", "--phase=update_servers");
    assert.match(
      skipped.err,
      /can only switch to phase update_servers from update_clients, current phase is init/,
    );
    assert.equal(
      await rotate("--manual", "--phase=rollback"),
      `Updated rotation phase to "rollback". To check status use 'tctl status'\n`,
    );
    assert.match(await cluster.mustTctl("status"), /^Host CA rolling back \(mode: manual, /m);
    await followed();
    await rotate("--manual", "--phase=standby");
    assert.deepEqual((await status()).ca_pins, before.ca_pins);
    assert.match(await cluster.mustTctl("status"), /^User CA never updated\nHost CA never updated\n/m);
    assert.equal(await reach("db"), "reached");
  });

  test("ACC-53a: the user CA alone, for 200 hours", async () => {
    await rotate("--type=user", "--grace-period=200h");
    const { rotation, ca_pins } = await status();
    assert.equal(rotation?.user.state, "in_progress");
    assert.equal(
      Date.parse(rotation.user.schedule?.standby ?? "") - Date.parse(rotation.user.started ?? ""),
      200 * hour,
    );
    assert.notEqual(rotation.host.state, "in_progress");
    assert.equal(ca_pins.length, 1);
    assert.deepEqual([(await lines("user")).length, (await lines("host")).length], [2, 1]);
    // In a phase of days hosts take up to half a minute to follow; by hand it is a second.
    for (const phase of ["update_clients", "update_servers"]) {
      await rotate("--manual", `--phase=${phase}`, "--type=user");
      await followed();
      assert.equal(await reach("db"), "reached", phase);
    }
    // By the new key, which the nodes know.
    await logInAgain();
    await rotate("--manual", "--phase=standby", "--type=user");
    assert.match(
      await cluster.mustTctl("status"),
      new RegExp(`^User CA rotated ${stamp}\\nHost CA never updated\\n`, "m"),
    );
    assert.equal((await lines("user")).length, 1);
    assert.equal(await reach("db"), "reached");
  });

  test("S36: what was opened by a login of the user CA that is gone goes on, and opens nothing more, at node and proxy", {
    skip: skipUnless("ssh"),
  }, async () => {
    const config = cluster.folder.at("ssh_config");
    const [, port = ""] = db.address.split(":");
    await writeFile(config, await cluster.mustTsh(["config", `--port=${port}`]));
    const through = (name: string, ...args: string[]): string[] => [
      ...["-F", config, "-o", "BatchMode=yes", "-o", `ControlPath=${cluster.folder.at(name)}`, ...args],
    ];
    const env = { ...quiet, HOME: cluster.home };
    const proxy = "teleport-proxy-main";
    await using atNode = await Program.start("ssh", [...through("node.ctl", "-M"), "db.main", "cat"], {
      env,
    });
    atNode.write("before\n");
    await atNode.line(/before/);
    const over = (name: string, ...args: string[]) => run("ssh", [...through(name), ...args], { env });
    await using atProxy = await Program.start("ssh", [...through("proxy.ctl", "-MN"), proxy], { env });
    /** What the node says first, by a channel of the proxy's open connection. */
    const greeting = async (): Promise<string> =>
      (await over("proxy.ctl", "-W", `db.main:${port}`, proxy)).out.slice(0, 8);
    await eventually("a way through the proxy", async () => (await greeting()) === "SSH-2.0-");
    assert.equal((await over("node.ctl", "db.main", "echo reached")).out, "reached\n");
    for (const phase of ["init", "update_clients", "update_servers"]) {
      await rotate("--manual", `--phase=${phase}`, "--type=user");
      await followed();
    }
    assert.equal((await over("node.ctl", "db.main", "echo reached")).out, "reached\n");
    await rotate("--manual", "--phase=standby", "--type=user");
    const refused = await eventually("a refusal over the open connection", async () => {
      const ran = await over(
        "node.ctl",
        "-o",
        "ControlMaster=no",
        "-o",
        "ProxyCommand=false",
        "db.main",
        "echo reached",
      );
      return ran.code !== 0 && ran;
    });
    assert.equal(refused.out, "");
    assert.equal(await greeting(), "");
    assert.equal(atProxy.hasEnded, false);
    // Not by a new connection either.
    const anew = await over("none.ctl", "db.main", "echo reached");
    assert.deepEqual([anew.code, anew.out], [255, ""]);
    assert.match((await cluster.tsh(["ls"])).err, /log in again/);
    atNode.write("after\n");
    await atNode.line(/after/);
    await cluster.event(
      "a refusal in the audit log",
      (e) => e.event === "auth" && /has been rotated since you logged in/.test(String(e.error)),
    );
    await logInAgain();
    assert.equal(await reach("db"), "reached");
  });

  test("ACC-53b: the host CA alone, step by step: who is away all the time is cut off, and the pin changes", async () => {
    const before = await status();
    const placed = cluster.folder.at("db", "data", "ca.cert");
    await writeFile(placed, await cluster.mustTctl("auth", "export", "--type=tls"), { mode: 0o640 });
    const [old = ""] = (await lines("host")).map((line) => line.split(" ")[3] ?? "");
    const folders: [string, string][] = [
      [cluster.dataDir, "node"],
      [cluster.dataDir, "proxy"],
      [cluster.folder.at("db", "data"), "node"],
    ];
    const shown = (): Promise<string[]> =>
      Promise.all(folders.map(([folder, role]) => shownBy(folder, role)));
    await rotate("--type=host", "--grace-period=8h", "--manual");
    assert.match(await cluster.mustTctl("status"), /^Host CA initialized \(mode: manual, /m);
    assert.match(
      await cluster.mustTctl("status"),
      /^Behind +node away \[[-0-9a-f]{36}\]: offline \(host CA\)$/m,
    );
    await followed();
    assert.equal(await reach("db"), "reached");
    assert.equal((await lines("host")).length, 2);
    const fresh = (await lines("host")).map((line) => line.split(" ")[3] ?? "").find((key) => key !== old);

    await rotate("--type=host", "--manual", "--phase=update_clients");
    await followed();
    assert.deepEqual(await shown(), [old, old, old]);
    assert.equal(await reach("db"), "reached");
    await rotate("--type=host", "--manual", "--phase=update_servers");
    await followed();
    assert.deepEqual(await shown(), [fresh, fresh, fresh]);
    assert.equal(await reach("db"), "reached");
    assert.match(
      await rotate("--rehearse", "--type=host", "--manual", "--phase=standby"),
      /^away +node .*offline$/m,
    );
    await rotate("--type=host", "--manual", "--phase=standby");

    const { ca_pins } = await status();
    assert.equal(ca_pins.length, 1);
    assert.notEqual(ca_pins[0], before.ca_pins[0]);
    assert.equal(await reach("db"), "reached");
    assert.equal(db.program.hasEnded, false);
    await eventually("the file of the joining host", async () => {
      return (await readFile(placed, "utf8")) === (await cluster.mustTctl("auth", "export", "--type=tls"));
    });
    assert.equal((await stat(placed)).mode & 0o777, 0o640);
    // Everything of before is refused: the pin, and the identity of who was away.
    await using late = await host("away", before.ca_pins[0] ?? "");
    await late.program.line(/not of this cluster/);
    await late.stop();
    await using back = await host("away", ca_pins[0] ?? "");
    await back.ready();
    assert.equal(await reach("away"), "reached");
  });

  test("ACC-94: a host with the pin of before is refused and sends no token", async () => {
    const { ca_pins } = await status();
    await rotate("--type=host", "--grace-period=3s");
    await eventually("the end", async () => (await status()).rotation?.host.state === "standby", {
      every: 200,
    });
    await using wire = await snooper(cluster.ports.auth);
    await using stranger = await startHost({
      name: "stranger",
      role: "node",
      folder: cluster.folder.at("stranger"),
      authPort: wire.port,
      flags: [`--token=${token}`, `--ca-pin=${ca_pins[0]}`],
    });
    await stranger.program.line(
      /the CA pin given does not match the cluster's, so the token was not sent.*tctl status/,
    );
    assert.ok(wire.heard.includes("POST ") && !wire.heard.includes(token));
  });

  test("ACC-52: by itself: logins and sessions go on, hosts get new certificates, and then only the new ones count", async () => {
    await logInAgain();
    await using session = await Program.start(programs.tsh, ["ssh", `${login}@db`, "cat"], {
      env: { ...quiet, HOME: cluster.home },
    });
    session.write("before\n");
    await session.line(/before/);
    const [old] = await lines("host");
    const folder = cluster.folder.at("db", "data");
    const shown = await shownBy(folder, "node");
    const from = Date.now();
    await rotate("--grace-period=15s");
    const reached: number[] = [];
    const working = async (): Promise<void> => {
      // A command of before the last phase: a login of the old user CA ends with it.
      while (Date.now() - from < 9_000) {
        assert.equal(await reach("db"), "reached");
        reached.push(Date.now() - from);
      }
    };
    await working();
    assert.ok(reached.length > 0, String(reached));
    await eventually("the end", async () => (await status()).rotation?.user.state === "standby", {
      every: 200,
    });
    const took = Date.now() - from;
    assert.ok(took >= 15_000 && took < 35_000, String(took));
    assert.match(
      await cluster.mustTctl("status"),
      new RegExp(
        `^User CA rotated ${stamp}\\nHost CA rotated ${stamp}\\nCA pin +sha256:[0-9a-f]{64}\\n$`,
        "m",
      ),
    );
    assert.notEqual(await shownBy(folder, "node"), shown);
    assert.notDeepEqual(await lines("host"), [old]);
    session.write("after\n");
    await session.line(/after/);
    const refused = await cluster.tsh(["ssh", `${login}@db`, "true"]);
    assert.match(refused.err, /log in again/);
    await logInAgain();
    assert.equal(await reach("db"), "reached");
    assert.equal((await db.diag("/readyz")).status, 200);
    assert.equal((await cluster.daemon.diag("/readyz")).status, 200);
    const steps = (await cluster.events()).filter((e) => e.event === "ca.rotate" && e.code === "T4021I");
    assert.deepEqual(
      steps
        .filter((e) => e.kind === "user")
        .slice(-4)
        .map((e) => [e.phase, e.user]),
      [
        ["init", "builtin-Admin"],
        ["update_clients", undefined],
        ["update_servers", undefined],
        ["standby", undefined],
      ],
    );
  });
});
