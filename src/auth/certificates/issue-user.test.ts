import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { suite, test } from "node:test";
import { hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import type { Role } from "#model";
import { readSubject, validity } from "#pki";
import { checkCertificate, parsePublicKeyLine, sameKey } from "#ssh/keys";
import { account, type Cluster, cluster, publicKeys, role } from "../testing/cluster.ts";

async function withUser(roles: Role[], logins = ["root", "joe"]): Promise<Cluster> {
  const c = await cluster();
  for (const one of roles) await c.admin["roles.put"]({ role: one });
  await c.signUp("joe", "correct horse", { roles: roles.map((r) => r.metadata.name), logins });
  return c;
}
const login = async (c: Cluster, more: object = {}) => {
  const { ssh, tls } = await publicKeys();
  return c.proxy["logins.certs"]({
    user: "joe",
    password: "correct horse",
    pub_key: ssh,
    tls_pub_key: tls,
    ttl: 12 * hour,
    ...more,
  });
};
const said = (line: string | undefined) => {
  const { certificate } = parsePublicKeyLine(line ?? "").key;
  assert.ok(certificate);
  return certificate;
};
const ops = (spec: object) => role("ops", { allow: { logins: ["{{internal.logins}}"] }, ...spec });

suite("certificates of users", () => {
  test("say who, where and what, signed by the user CA", async () => {
    await using c = await withUser([
      ops({
        options: { forward_agent: true },
        allow: { logins: ["{{internal.logins}}"], kubernetes_groups: ["dev"] },
      }),
    ]);
    const { username, cert, tls_cert, host_signers } = await login(c);
    assert.equal(username, "joe");
    const now = c.clock.now();
    const ca = await c.admin["authorities.list"]({ type: "user" });
    const authority = parsePublicKeyLine(ca[0]?.spec.checking_keys[0] ?? "").key;
    const ssh = checkCertificate(parsePublicKeyLine(cert ?? "").key, {
      type: "user",
      isAuthority: (key) => sameKey(key, authority),
      principal: "root",
      now,
    });
    assert.equal(ssh.keyId, "joe");
    assert.deepEqual(ssh.principals, ["joe", "root"]);
    assert.equal(ssh.validAfter, BigInt((now - minute) / 1000));
    assert.equal(ssh.validBefore, BigInt((now + 12 * hour) / 1000));
    assert.equal(ssh.criticalOptions.size, 0);
    assert.deepEqual(Object.fromEntries(ssh.extensions), {
      "permit-pty": "",
      "permit-agent-forwarding": "",
      "permit-port-forwarding": "",
      "teleport-roles": '{"version":"v1","roles":["ops"]}',
      "teleport-traits": '{"logins":["root","joe"]}',
    });
    assert.deepEqual(readSubject(tls_cert ?? ""), {
      commonName: "joe",
      organizations: ["ops"],
      organizationalUnits: [],
      localities: ["joe", "root"],
      states: ["dev"],
      postalCode: '{"logins":["root","joe"]}',
    });
    assert.equal(validity(tls_cert ?? "").notAfter, now + 12 * hour);
    const tlsCa = ca[0]?.spec.tls_key_pairs[0]?.cert ?? "";
    assert.ok(new X509Certificate(tls_cert ?? "").verify(new X509Certificate(tlsCa).publicKey));
    const host = (await c.admin["authorities.list"]({ type: "host" }))[0]?.spec;
    assert.deepEqual(host_signers, [
      {
        domain_name: "main",
        checking_keys: host?.checking_keys,
        tls_certs: host?.tls_key_pairs.map((p) => p.cert),
      },
    ]);
  });

  test("OVW-22: live as long as asked for, at least a minute, at most what the strictest role allows", async () => {
    await using c = await withUser([
      ops({ options: { max_session_ttl: "8h" } }),
      role("strict", { options: { max_session_ttl: "30m" } }),
    ]);
    for (const [ttl, expected] of [
      [1, minute],
      [10 * minute, 10 * minute],
      [100 * hour, 30 * minute],
    ] as const) {
      const { cert, tls_cert } = await login(c, { ttl });
      const end = c.clock.now() + expected;
      assert.equal(said(cert).validBefore, BigInt(end / 1000));
      assert.equal(validity(tls_cert ?? "").notAfter, end);
    }
  });

  test("without a role's limit, 30 hours is the most", async () => {
    await using c = await withUser([ops({})]);
    const { cert } = await login(c, { ttl: 1000 * hour });
    assert.equal(said(cert).validBefore, BigInt((c.clock.now() + 30 * hour) / 1000));
  });

  test("do not outlive the account", async () => {
    await using c = await withUser([ops({})]);
    const user = await c.admin["users.get"]({ name: "joe" });
    const expires = new Date(c.clock.now() + hour).toISOString();
    await c.admin["users.put"]({ user: account("joe", { ...user.spec, expires }), force: true });
    assert.equal(said((await login(c)).cert).validBefore, BigInt((c.clock.now() + hour) / 1000));
  });

  test("OVW-19: without an allowed login there is no SSH certificate", async () => {
    await using c = await withUser([role("none", {})]);
    const { cert, tls_cert } = await login(c);
    assert.equal(cert, undefined);
    assert.deepEqual(readSubject(tls_cert ?? "").localities, []);
  });

  test("S28: no trait makes a principal that means anyone", async () => {
    await using c = await withUser([ops({})], ["*", "a,b", "root\0", "joe"]);
    assert.deepEqual(said((await login(c)).cert).principals, ["joe"]);
  });

  test("only an SSH key brings only an SSH certificate", async () => {
    await using c = await withUser([ops({})]);
    const { tls_cert } = await login(c, { tls_pub_key: undefined });
    assert.equal(tls_cert, undefined);
  });

  test("the old format carries nothing that old servers stumble over; forwarding as roles allow", async () => {
    await using c = await withUser([ops({ options: { port_forwarding: false } })]);
    const extensions = [...said((await login(c, { compatibility: "oldssh" })).cert).extensions.keys()];
    assert.deepEqual(extensions, ["permit-pty"]);
  });

  test("a role that is gone refuses the login: it may be the one that denied", async () => {
    await using c = await withUser([ops({})]);
    await c.auth.parts.store.roles.delete("ops");
    await assert.rejects(
      login(c),
      (err) => Fault.is(err, "access_denied") && /"ops".*does not exist/.test(err.message),
    );
  });

  test("S26: a certificate or a CA's own key is not certified", async () => {
    await using c = await withUser([ops({})]);
    const { cert } = await login(c);
    const line = (await c.admin["authorities.list"]({ type: "user" }))[0]?.spec.checking_keys[0] ?? "";
    for (const pub_key of [cert ?? "", line, "ssh-ed25519 AAAA", ""])
      await assert.rejects(
        login(c, { pub_key: Buffer.from(pub_key).toString("base64") }),
        (err) => Fault.is(err, "bad_parameter") || Fault.is(err, "protocol"),
      );
  });
});
