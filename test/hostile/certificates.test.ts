import assert from "node:assert/strict";
import { copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { connect } from "#ssh";
import { parsePrivateKey, parsePublicKeyLine } from "#ssh/keys";
import { skipUnless } from "../support/installed.ts";
import { mustRun, type Ran, run } from "../support/run.ts";
import { type Cluster, type Event, type Identity, startCluster, tsh } from "./cluster.ts";

suite("who may not come in", { skip: skipUnless("ssh", "ssh-keygen") }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
    for (const type of ["user", "host"]) {
      const { out } = await cluster.tctl("auth", "export", `--type=${type}`, "--keys");
      await writeFile(cluster.at(`${type}-ca`), out, { mode: 0o600 });
    }
    await mustRun("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", cluster.at("foreign-ca")]);
  });
  after(() => cluster[Symbol.asyncDispose]());

  /** Joe's key with a certificate as `ssh-keygen -s <ca> <args>` makes it. */
  async function forged(name: string, ca: string, ...args: string[]): Promise<Identity> {
    const file = cluster.at(name);
    await copyFile(cluster.joe, file);
    await copyFile(`${cluster.joe}.pub`, `${file}.pub`);
    if (ca !== "") await mustRun("ssh-keygen", ["-q", "-s", cluster.at(ca), ...args, `${file}.pub`]);
    return file;
  }

  test("joe may, through the proxy and directly", async () => {
    const through = await cluster.ssh(cluster.joe, "testnode.main", "echo hello");
    assert.deepEqual([through.code, through.out], [0, "hello\n"], through.err);
    const direct = await cluster.ssh(cluster.joe, "-o", "ProxyCommand=none", "127.0.0.1", "echo hello");
    assert.deepEqual([direct.code, direct.out], [0, "hello\n"], direct.err);
  });

  const roles = '{"version":"v1","roles":["user:joe"]}';
  const joe = ["-I", "joe", "-O", `extension:teleport-roles=${roles}`];
  const cases: readonly [what: string, ca: string, args: readonly string[], says: RegExp, user: string][] = [
    ["an expired certificate", "user-ca", [...joe, "-n", "LOGIN", "-V", "-2h:-1h"], /expired/i, "joe"],
    [
      "a certificate that is not valid yet",
      "user-ca",
      [...joe, "-n", "LOGIN", "-V", "+1h:+2h"],
      /not valid (yet|before)|not yet valid/i,
      "joe",
    ],
    [
      "a certificate of a foreign authority",
      "foreign-ca",
      [...joe, "-n", "LOGIN", "-V", "+1h"],
      /authority/i,
      "joe",
    ],
    [
      "a certificate for another login",
      "user-ca",
      // Without a beginning of its own ssh-keygen's is up to two minutes old, and the account younger.
      [...joe, "-n", "mallory", "-V", "-10s:+1h"],
      /is not for/,
      "joe",
    ],
    ["a certificate without logins", "user-ca", [...joe, "-V", "+1h"], /login|principal/i, "joe"],
    [
      "a certificate of a user who does not exist",
      "user-ca",
      ["-I", "ghost", "-n", "LOGIN", "-V", "+1h"],
      /ghost does not exist/,
      "ghost",
    ],
    [
      "a certificate for another address",
      "user-ca",
      [...joe, "-n", "LOGIN", "-V", "+1h", "-O", "source-address=192.0.2.0/24"],
      /may not be used from 127/,
      "joe",
    ],
    [
      "a certificate with a condition that nobody knows",
      "user-ca",
      [...joe, "-n", "LOGIN", "-V", "+1h", "-O", "critical:full-moon@example.com"],
      /full-moon@example\.com/,
      "joe",
    ],
    ["a plain key", "", [], /not a certificate/, ""],
  ];
  for (const [i, [what, ca, args, says, user]] of cases.entries()) {
    for (const [where, ask] of [
      ["node", ["-o", "ProxyCommand=none", "127.0.0.1"]],
      ["proxy", ["testnode.main"]],
    ] as const) {
      test(`S18, S28, S29, S37: ${what} is refused at the ${where}: one sentence there, an event here`, async () => {
        const login = cluster.login;
        const identity = await forged(
          `forged-${i}-${where}`,
          ca,
          ...args.map((arg) => (arg === "LOGIN" ? login : arg)),
        );
        const known = new Set(cluster.events().map((event) => event.uid));
        const ran = await cluster.ssh(identity, ...ask, "true");
        assert.equal(ran.code, 255);
        assert.match(ran.err, /Permission denied \(publickey\)/);
        const lines = ran.err.trim().split("\n");
        // Who is refused for the time alone is told of the clocks.
        const clocks = lines.filter((line) => line.includes("the clock here says"));
        assert.equal(clocks.length, /not valid (yet|any)|expired/.test(what) ? 1 : 0, ran.err);
        assert.ok(lines.length - clocks.length <= 3, ran.err);
        const event = await cluster.event((each) => each.code === "T3007W" && !known.has(each.uid));
        assertRefusal(event, { user, login, says });
      });
    }
  }

  function assertRefusal(event: Event, { user, login, says }: { user: string; login: string; says: RegExp }) {
    assert.equal(event.event, "auth");
    assert.equal(event.user, user);
    assert.equal(event.login, login);
    assert.match(String(event.error), says);
    assert.match(String(event["addr.remote"]), /^127\.0\.0\.1:\d+$/);
    assert.equal(event.success, "false");
  }

  test("S31: a host certificate does not log a person in, at node or proxy", async () => {
    // OpenSSH's client would not offer one.
    const identity = await forged(
      "as-host",
      "host-ca",
      "-h",
      "-I",
      "machine",
      "-n",
      cluster.login,
      "-V",
      "+1h",
    );
    const { key } = parsePrivateKey(await readFile(identity, "utf8"));
    const certificate = parsePublicKeyLine(await readFile(`${identity}-cert.pub`, "utf8")).key;
    for (const port of [cluster.ports.node, cluster.ports.proxy]) {
      const known = new Set(cluster.events().map((event) => event.uid));
      const client = connect(
        {
          stream: connectSocket({ port, host: "127.0.0.1" }),
          user: cluster.login,
          version: "Test",
          signers: [key.signer(certificate)],
          verifyHost() {},
          clock: systemClock,
          log: silentLog,
        },
        AbortSignal.timeout(10_000),
      );
      await assert.rejects(client, (err) => Fault.is(err, "access_denied"));
      const event = await cluster.event((each) => each.code === "T3007W" && !known.has(each.uid));
      assertRefusal(event, { user: "machine", login: cluster.login, says: /host certificate|certificate/ });
    }
  });

  test("a login that the certificate does not name is refused", async () => {
    const ran = await cluster.ssh(cluster.joe, "nobody@testnode.main", "true");
    assert.equal(ran.code, 255);
    const event = await cluster.event((each) => each.code === "T3007W" && each.login === "nobody");
    assertRefusal(event, { user: "joe", login: "nobody", says: /nobody/ });
  });

  test("a node that does not exist: one clear sentence at stock ssh and T4030W", async () => {
    const ran = await cluster.ssh(cluster.joe, "nosuch.main", "true");
    assert.equal(ran.code, 255);
    assert.match(ran.err, /failed connecting to node nosuch/);
    const event = await cluster.event(
      (each) => each.code === "T4030W" && String(each.target).startsWith("nosuch"),
    );
    assert.equal(event.user, "joe");
    assert.equal(event.success, false);
    assert.notEqual(event.error, "");
    const jumped = await cluster.ssh(
      cluster.joe,
      ...["-o", "ProxyCommand=none", "-p", String(cluster.ports.proxy), "127.0.0.1"],
      ...["-W", "elsewhere.main:22"],
    );
    assert.equal(jumped.code, 255);
    assert.match(jumped.err, /elsewhere/);
  });

  suite("with tsh", () => {
    const home = () => cluster.at("home");
    const tshRun = (args: readonly string[], input = "") =>
      run(tsh, args, { env: { HOME: home(), TELEPORT_DEBUG: undefined }, input, timeout: 30_000 });
    const login = (password: string) =>
      tshRun(
        ["login", "--insecure", `--proxy=127.0.0.1:${cluster.ports.web}`, "--user=joe"],
        `${password}\n`,
      );
    const assertSentence = ({ code, err }: Ran, says: RegExp): void => {
      assert.notEqual(code, 0, err);
      assert.match(err, says);
      assert.doesNotMatch(err, /^\s+at /m);
      // Without a terminal the error stands behind the question.
      const lines = err.split("\n").filter((line) => /(^|: )error: /i.test(line));
      assert.equal(lines.length, 1, err);
    };

    test("a wrong password: a sentence, and user.login that failed", async () => {
      assertSentence(await login("wrong"), /password/i);
      const event = await cluster.event((each) => each.event === "user.login" && each.success === false);
      assert.equal(event.user, "joe");
      const right = await login(cluster.password);
      assert.equal(right.code, 0, right.err);
    });

    test("a login that is not allowed, and a node that is not there", async () => {
      const options = ["ssh", "--insecure"];
      const forbidden = await tshRun([...options, "mallory@testnode", "true"]);
      assertSentence(forbidden, /mallory/);
      await cluster.event((each) => each.code === "T3007W" && each.login === "mallory");
      assertSentence(await tshRun([...options, `${cluster.login}@nosuch`, "true"]), /nosuch/);
      await cluster.event(
        (each) => each.code === "T4030W" && String(each.target).startsWith("nosuch") && each.user === "joe",
      );
    });

    test("an expired certificate: tsh says so and how to go on", async () => {
      const expired = await forged("tsh", "user-ca", ...joe, "-n", cluster.login, "-V", "-2h:-1h");
      const keys = join(home(), ".tsh", "keys");
      const [proxy = ""] = await readdir(keys);
      const certificate = join(keys, proxy, "joe-cert.pub");
      await writeFile(certificate, await readFile(`${expired}-cert.pub`));
      assertSentence(await tshRun(["ssh", `${cluster.login}@testnode`, "true"]), /expired|log in|login/i);
    });
  });

  test("nothing of all this was told with a stack", () => {
    assert.doesNotMatch(cluster.said(), /^\s+at /m);
  });
});
