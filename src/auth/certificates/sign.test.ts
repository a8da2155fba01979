import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { anyProxy } from "#contract/names";
import { day, hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { readIssuer, readSerial, readSubject, validity } from "#pki";
import { type Certificate, checkCertificate, noExpiry, parsePublicKeyLine, sameKey } from "#ssh/keys";
import { recordRefusal } from "../access/refusals.ts";
import { account, type Cluster, cluster, hostId, publicKeys, role, system } from "../testing/cluster.ts";

const ci = { roles: ["ci"], traits: { logins: ["deploy", "root"] } };
async function withAccount(options: object = { max_session_ttl: "1h0m0s" }, spec: object = ci) {
  const c = await cluster();
  await c.admin["roles.put"]({ role: role("ci", { options, allow: { logins: ["{{internal.logins}}"] } }) });
  await c.addUser("ci", spec);
  return c;
}
const said = (line: string | undefined): Certificate => {
  const { certificate } = parsePublicKeyLine(line ?? "").key;
  assert.ok(certificate);
  return certificate;
};
const signUser = async (c: Cluster, more: object = {}) => {
  const { ssh, tls } = await publicKeys();
  return c.admin["users.sign"]({ user: "ci", pub_key: ssh, tls_pub_key: tls, ttl: 12 * hour, ...more });
};
const signHost = async (c: Cluster, names: string[], more: object = {}) =>
  c.admin["hosts.sign"]({ names, pub_key: (await publicKeys()).ssh, ...more });
const signings = (c: Cluster) => c.events.filter((event) => event.event === "cert.create");
const authority = async (c: Cluster, type: "user" | "host") =>
  parsePublicKeyLine((await c.admin["authorities.list"]({ type }))[0]?.spec.checking_keys[0] ?? "").key;

suite("certificates that an administrator signs for an account", () => {
  test("TCT-53: say what a login's would, and live as long as is asked, whatever the roles say", async () => {
    await using c = await withAccount();
    const ttl = 2000 * hour;
    const { username, cert, tls_cert, host_signers } = await signUser(c, { ttl });
    const now = c.clock.now();
    const ca = await authority(c, "user");
    const certificate = checkCertificate(parsePublicKeyLine(cert ?? "").key, {
      type: "user",
      isAuthority: (key) => sameKey(key, ca),
      principal: "deploy",
      now,
    });
    assert.equal(username, "ci");
    assert.equal(certificate.keyId, "ci");
    assert.deepEqual(certificate.principals, ["deploy", "root"]);
    assert.equal(certificate.validAfter, BigInt((now - minute) / 1000));
    assert.equal(certificate.validBefore, BigInt((now + ttl) / 1000));
    assert.equal(certificate.extensions.get("teleport-roles"), '{"version":"v1","roles":["ci"]}');
    assert.deepEqual(readSubject(tls_cert ?? "").organizations, ["ci"]);
    assert.equal(readIssuer(tls_cert ?? ""), "main");
    assert.equal(validity(tls_cert ?? "").notAfter, now + ttl);
    assert.equal(host_signers[0]?.domain_name, "main");
  });

  test("for one of the keys only when only that was sent; not for none", async () => {
    await using c = await withAccount();
    const ssh = await signUser(c, { tls_pub_key: undefined });
    assert.deepEqual([ssh.cert !== undefined, ssh.tls_cert], [true, undefined]);
    const tls = await signUser(c, { pub_key: undefined });
    assert.deepEqual([tls.cert, tls.tls_cert !== undefined], [undefined, true]);
    await assert.rejects(signUser(c, { pub_key: undefined, tls_pub_key: undefined }), /no key/);
  });

  test("the old format carries no roles", async () => {
    await using c = await withAccount();
    const { cert } = await signUser(c, { compatibility: "oldssh" });
    assert.equal(said(cert).extensions.has("teleport-roles"), false);
  });

  test("S33: do not outlive the account, nor who signs them", async () => {
    await using c = await withAccount();
    const expires = new Date(c.clock.now() + hour).toISOString();
    await c.admin["users.put"]({ user: account("ci", { ...ci, expires }), force: true });
    assert.equal(said((await signUser(c)).cert).validBefore, BigInt((c.clock.now() + hour) / 1000));
    await assert.rejects(signUser(c, { ttl: 4000 * day }), (err) => Fault.is(err, "bad_parameter"));
  });

  test("S33: are not to be had by who holds such a certificate, for nobody and not for longer", async () => {
    await using c = await withAccount();
    const { ssh } = await publicKeys();
    for (const roles of [["ci"], ["admin"]])
      await assert.rejects(
        c.user("ci", roles)["users.sign"]({ user: "ci", pub_key: ssh, ttl: hour }),
        (err) => Fault.is(err, "access_denied"),
      );
  });

  test("are refused for who is not there, who is locked, and whose role is gone", async () => {
    await using c = await withAccount();
    await assert.rejects(signUser(c, { user: "nobody" }), (err) => Fault.is(err, "not_found"));
    await c.admin["users.put"]({
      user: account("ci", { ...ci, status: { is_locked: true } }),
      force: true,
    });
    await assert.rejects(signUser(c), (err) => Fault.is(err, "access_denied") && /locked/.test(err.message));
    await c.admin["users.put"]({ user: account("ci", ci), force: true });
    await c.auth.parts.store.roles.delete("ci");
    await assert.rejects(signUser(c), (err) => Fault.is(err, "access_denied"));
  });

  test("S28: no trait makes a principal that means anyone; without a login there is no SSH certificate", async () => {
    await using c = await withAccount(
      {},
      { roles: ["ci"], traits: { logins: ["*", "a,b", "root\0", "", "ops"] } },
    );
    assert.deepEqual(said((await signUser(c)).cert).principals, ["ops"]);
    await c.admin["users.put"]({ user: account("ci", { ...ci, traits: { logins: ["*"] } }), force: true });
    assert.equal((await signUser(c)).cert, undefined);
  });

  test("S26: a certificate, and an authority's own key, are not certified", async () => {
    await using c = await withAccount();
    const { cert } = await signUser(c);
    const ca = (await c.admin["authorities.list"]({ type: "user" }))[0]?.spec.checking_keys[0] ?? "";
    for (const line of [cert ?? "", ca, "ssh-ed25519 AAAA", ""])
      await assert.rejects(
        signUser(c, { pub_key: Buffer.from(line).toString("base64") }),
        (err) => Fault.is(err, "bad_parameter"),
        line,
      );
  });
});

suite("certificates that an administrator signs for a host", () => {
  test("TCT-52: name exactly what was asked, without an end, and make no member of it", async () => {
    await using c = await cluster();
    const { cert } = await signHost(c, ["db.example.com", "db", "10.0.0.7", "fd00::7"]);
    const ca = await authority(c, "host");
    const certificate = checkCertificate(parsePublicKeyLine(cert).key, {
      type: "host",
      isAuthority: (key) => sameKey(key, ca),
      principal: "db.example.com",
      now: c.clock.now() + 100 * 365 * day,
    });
    assert.deepEqual(certificate.principals, ["db.example.com", "db", "10.0.0.7", "fd00::7"]);
    assert.equal(certificate.validBefore, noExpiry);
    assert.deepEqual(Object.fromEntries(certificate.extensions), {
      "x-teleport-role": "Node",
      "x-teleport-authority": "main",
    });
    assert.equal(certificate.criticalOptions.size, 0);
  });

  test("end when that is asked", async () => {
    await using c = await cluster();
    const { cert } = await signHost(c, ["db"], { ttl: 30 * day });
    assert.equal(said(cert).validBefore, BigInt((c.clock.now() + 30 * day) / 1000));
    await assert.rejects(signHost(c, ["db"], { ttl: 4000 * day }), (err) => Fault.is(err, "bad_parameter"));
  });

  for (const name of [
    "",
    "*",
    "*.example.com",
    "a,b",
    " db",
    "db ",
    "a b",
    "db\0",
    "d\u0431",
    "dｂ",
    "db?",
    "-oX",
    "../db",
    "db\n",
    "[::1]:22",
  ]) {
    test(`S27, S28: not for the name ${JSON.stringify(name)}`, async () => {
      await using c = await cluster();
      await assert.rejects(signHost(c, ["db", name]), (err) => Fault.is(err, "bad_parameter"));
    });
  }

  test("S28: not without a name, and not with one twice", async () => {
    await using c = await cluster();
    for (const names of [[], ["db", "db"]])
      await assert.rejects(signHost(c, names), (err) => Fault.is(err, "bad_parameter"));
  });

  for (const name of [
    hostId,
    `${hostId.toUpperCase()}.main`,
    anyProxy,
    "TELEPORT.cluster.local",
    "6d61696e.teleport.cluster.local",
  ]) {
    test(`S31: not for ${name}, which a member is known by`, async () => {
      await using c = await cluster();
      await assert.rejects(signHost(c, [name]), (err) => Fault.is(err, "access_denied"));
    });
  }

  test("S31: not for a node or a proxy that asks, of whatever name", async () => {
    await using c = await cluster();
    const { ssh } = await publicKeys();
    for (const member of [c.node, c.proxy, c.stranger, c.user("joe")])
      for (const work of [
        member["hosts.sign"]({ names: ["db"], pub_key: ssh }),
        member["users.sign"]({ user: "joe", pub_key: ssh, ttl: hour }),
      ])
        await assert.rejects(work, (err) => Fault.is(err, "access_denied"));
  });
});

suite("signing in the audit log", () => {
  test("who, for whom, what names, until when, and how to know the certificates again", async () => {
    await using c = await withAccount();
    const { cert, tls_cert } = await signUser(c);
    const { cert: host } = await signHost(c, ["db", "db.example.com"]);
    const facts = signings(c).map(({ uid: _, time: __, namespace: ___, ...facts }) => facts);
    const common = { event: "cert.create", code: "T4160I", user: "builtin-Admin" };
    assert.match(facts[0]?.code === "T4160I" ? (facts[0].fingerprint ?? "") : "", /^SHA256:/);
    assert.deepEqual(facts, [
      {
        ...common,
        kind: "user",
        account: "ci",
        names: ["deploy", "root"],
        ...(facts[0]?.code === "T4160I" && { fingerprint: facts[0].fingerprint }),
        serial: String(said(cert).serial),
        tls_serial: readSerial(tls_cert ?? ""),
        expires: new Date(c.clock.now() + 12 * hour).toISOString(),
        ttl: "12h0m0s",
      },
      {
        ...common,
        kind: "host",
        names: ["db", "db.example.com"],
        ...(facts[1]?.code === "T4160I" && { fingerprint: facts[1].fingerprint }),
        serial: String(said(host).serial),
      },
    ]);
  });

  test("the time that was asked for, also when a second is not whole", async () => {
    await using c = await withAccount();
    await c.clock.advance(999);
    await signUser(c, { pub_key: undefined, ttl: 90 * minute });
    await signHost(c, ["db"], { ttl: 30 * day });
    assert.deepEqual(
      signings(c).map((e) => e.code === "T4160I" && e.ttl),
      ["1h30m0s", "720h0m0s"],
    );
  });

  test("refusals too", async () => {
    await using c = await withAccount();
    await signHost(c, ["*"]).catch(() => {});
    await signUser(c, { user: "nobody" }).catch(() => {});
    assert.deepEqual(
      signings(c).map((e) => e.code === "T4160W" && [e.kind, e.account, e.names, e.success]),
      [
        ["host", undefined, ["*"], false],
        ["user", "nobody", [], false],
      ],
    );
  });

  test("that private keys of authorities were taken out, and by whom; not that public ones were read", async () => {
    await using c = await cluster();
    await c.admin["authorities.list"]({});
    assert.equal(c.events.filter((e) => e.code === "T4161W").length, 0);
    await c.admin["authorities.list"]({ type: "host", secrets: true });
    const [event] = c.events.filter((e) => e.code === "T4161W");
    assert.deepEqual(event?.code === "T4161W" && [event.user, event.fingerprints.length], [
      "builtin-Admin",
      1,
    ]);
  });

  test("S35: that a machine was refused what would make it somebody else", async () => {
    await using c = await cluster();
    const caller = await c.auth.callers.callerOf(system("Node"));
    const error = new Fault("access_denied", "no");
    for (const call of ["users.sign", "hosts.sign", "authorities.list", "nodes.remove"])
      await recordRefusal(c.auth.parts, { caller, call, error });
    assert.deepEqual(
      c.events.flatMap((e) => (e.code === "T4051W" ? [`${e.resource}.${e.action} ${e.user}`] : [])),
      ["users.sign", "hosts.sign", "authorities.list"].map((call) => `${call} ${hostId}.main`),
    );
  });
});
