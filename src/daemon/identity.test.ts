import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { HostCerts } from "#contract/auth";
import { day, hour, minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { issueTls, makeAuthority } from "#pki";
import { formatPublicKeyLine, generateKey, issueCertificate, parsePublicKeyLine } from "#ssh/keys";
import { type Asked, type Certify, IdentityKeeper, readIdentity } from "./identity.ts";

const asked = (node_name = "db", additional_principals: string[] = []): Asked => ({
  node_name,
  additional_principals,
  dns_names: [],
});

/** A host with a data folder, before an authority that counts how it was asked. */
async function host() {
  const dataDir = await mkdtemp(join(tmpdir(), "identity-"));
  const clock = new TestClock();
  const log = memoryLog();
  const ca = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now: clock.now() });
  const sshCa = (await generateKey("ed25519")).signer();
  const calls: string[] = [];
  let failure: Error | undefined;
  const certify =
    (how: string): Certify =>
    async ({ node_name, additional_principals, public_ssh_key, public_tls_key }): Promise<HostCerts> => {
      calls.push([how, node_name, ...additional_principals].join(" "));
      if (failure) throw failure;
      const tls_cert = await issueTls({
        ca,
        publicKey: Buffer.from(public_tls_key, "base64").toString(),
        subject: { commonName: "x.main", organizations: ["Node"] },
        dnsNames: [],
        notBefore: clock.now() - minute,
        notAfter: clock.now() + 90 * day,
      });
      const line = Buffer.from(public_ssh_key, "base64").toString();
      const key = await issueCertificate(
        {
          key: parsePublicKeyLine(line).key,
          type: "host",
          keyId: "x.main",
          serial: 1n,
          principals: [node_name],
          validAfter: 0n,
          validBefore: BigInt((clock.now() + 90 * day) / second),
          extensions: new Map(),
        },
        sshCa,
      );
      const cert = formatPublicKeyLine({ key });
      return {
        cert,
        tls_cert,
        tls_ca_certs: [ca.cert],
        ssh_ca_certs: [formatPublicKeyLine({ key: sshCa.publicKey })],
      };
    };
  return {
    dataDir,
    clock,
    log,
    calls,
    fail: (err: Error | undefined) => {
      failure = err;
    },
    open: (names = asked(), authorities?: string[]) =>
      IdentityKeeper.open({
        dataDir,
        role: "Node",
        asked: names,
        first: certify("join"),
        renew: certify("renew"),
        clock,
        log,
        ...(authorities && { authorities }),
      }),
    [Symbol.asyncDispose]: () => rm(dataDir, { recursive: true }),
  };
}

/** Runs the keeper until the end of the test. */
function running(keeper: IdentityKeeper) {
  const stop = new AbortController();
  const done = keeper.run(stop.signal, () => {});
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

/** Lets time pass, and what it woke come to its end: keys and certificates are made by other threads. */
async function pass(clock: TestClock, ms: number, until: () => boolean): Promise<void> {
  await clock.advance(ms);
  for (let i = 0; i < 200_000 && !until(); i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

suite("a member's identity", () => {
  test("AUTH-23: is kept over restarts, and nobody is asked again", async () => {
    await using h = await host();
    const { tls } = (await h.open()).identity;
    h.fail(new Fault("access_denied", "the token is not valid"));
    assert.deepEqual((await h.open()).identity.tls, tls);
    assert.deepEqual(h.calls, ["join db"]);
    assert.deepEqual((await readIdentity(h.dataDir, "Node"))?.tls, tls);
    assert.equal(await readIdentity(h.dataDir, "Proxy"), undefined);
  });

  test("OVW-38: lies in a file and a folder that are closed to others, and nothing else is left there", async () => {
    await using h = await host();
    await h.open();
    const folder = join(h.dataDir, "proc");
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.equal((await stat(join(folder, "node.json"))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder), ["node.json"]);
  });

  test("AUTH-24: is renewed at two thirds of its life as the member it is, and tried again every 10 s", async () => {
    await using h = await host();
    const keeper = await h.open();
    const renewed: number[] = [];
    keeper.onRenewed(({ expires }) => renewed.push(expires));
    await using _ = running(keeper);
    const { tls, renewAt } = keeper.identity;
    assert.ok(Math.abs(renewAt - (h.clock.now() + 60 * day)) < minute);
    for (let left = 60 * day - hour; left > 0; left -= hour) await h.clock.advance(hour);
    assert.deepEqual(h.calls, ["join db"]);

    h.fail(new Fault("unreachable", "auth is away"));
    await pass(h.clock, hour, () => h.calls.length > 1);
    await pass(h.clock, 0, () => h.log.lines.length > 0);
    assert.deepEqual(h.calls, ["join db", "renew db"]);
    assert.deepEqual(keeper.identity.tls, tls);

    h.fail(undefined);
    await pass(h.clock, 10 * second, () => renewed.length > 0);
    assert.deepEqual(h.calls, ["join db", "renew db", "renew db"]);
    assert.deepEqual(renewed, [keeper.identity.expires]);
    assert.notDeepEqual(keeper.identity.tls, tls);
    assert.deepEqual((await readIdentity(h.dataDir, "Node"))?.tls, keeper.identity.tls);
  });

  for (const [when, restarts] of [
    ["at its next start", true],
    ["while it runs", false],
  ] as const) {
    test(`AUTH-24: joins again once it has expired, ${when}`, async () => {
      await using h = await host();
      const keeper = await h.open();
      if (restarts) {
        await h.clock.advance(90 * day);
        await h.open();
        assert.deepEqual(h.calls, ["join db", "join db"]);
        return;
      }
      await using _ = running(keeper);
      // A machine that slept: the clock is past the end before anything could be renewed.
      const { expires } = keeper.identity;
      await pass(h.clock, 91 * day, () => keeper.identity.expires > expires);
      assert.deepEqual(h.calls, ["join db", "join db"]);
    });
  }

  test("AUTH-21: with other names it is renewed at the start, by the identity of before", async () => {
    await using h = await host();
    await h.open();
    for (const names of [
      asked("db2"),
      asked("db2", ["10.0.0.1"]),
      asked("db2", ["10.0.0.1", "db.example.com"]),
    ])
      for (let start = 0; start < 2; start++) await h.open(names);
    assert.deepEqual(h.calls, [
      "join db",
      "renew db2",
      "renew db2 10.0.0.1",
      "renew db2 10.0.0.1 db.example.com",
    ]);
  });

  test("AUTH-21: while auth is away a renamed member starts with the names of before, and gets the new ones later", async () => {
    await using h = await host();
    const { tls } = (await h.open()).identity;
    h.fail(new Fault("unreachable", "auth is away"));
    const keeper = await h.open(asked("db2"));
    assert.deepEqual(keeper.identity.tls, tls);
    h.fail(undefined);
    await using _ = running(keeper);
    await pass(h.clock, 0, () => h.calls.length > 2);
    await pass(h.clock, 0, () => keeper.identity.tls.cert !== tls.cert);
    assert.deepEqual(h.calls, ["join db", "renew db2", "renew db2"]);
    await h.open(asked("db2"));
    assert.equal(h.calls.length, 3);
  });

  test("AUTH-21: new names that are refused are no reason to go on with the old ones", async () => {
    await using h = await host();
    await h.open();
    h.fail(new Fault("access_denied", "that is the name of another host"));
    await assert.rejects(h.open(asked("other")), /name of another host/);
  });

  test("of another cluster than this process's own is not used", async () => {
    await using h = await host();
    await h.open();
    const anew = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now: h.clock.now() });
    await h.open(asked(), [anew.cert]);
    assert.deepEqual(h.calls, ["join db", "join db"]);
  });

  test("that is damaged, or of a newer version, is neither used nor overwritten", async () => {
    await using h = await host();
    await h.open();
    for (const text of ["", "{", '{"format":2}', "[]"]) {
      await writeFile(join(h.dataDir, "proc", "node.json"), text);
      await assert.rejects(
        h.open(),
        (err) => Fault.is(err, "bad_parameter") && /join again/.test(err.message),
      );
    }
    assert.deepEqual(h.calls, ["join db"]);
  });
});
