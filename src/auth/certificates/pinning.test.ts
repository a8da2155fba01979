import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { issueTls, makeAuthority, readSubject } from "#pki";
import { parsePublicKeyLine } from "#ssh/keys";
import { type Cluster, cluster, publicKeys, role } from "../testing/cluster.ts";
import { checkSource, identify } from "./peer.ts";

const here = "10.1.2.3:40000";
const elsewhere = "192.0.2.1:40000";
const refused = (why: RegExp) => (err: unknown) => Fault.is(err, "access_denied") && why.test(err.message);

/** joe, whose roles have these options, signed up from `here`. */
async function withJoe(...options: object[]): Promise<Cluster> {
  const c = await cluster();
  const names = options.map((_, i) => `r${i}`);
  for (const [i, one] of options.entries())
    await c.admin["roles.put"]({ role: role(`r${i}`, { options: one, allow: { logins: ["root"] } }) });
  const { token } = await c.admin["signups.create"]({ user: "joe", roles: names, traits: {}, ttl: hour });
  await c.proxy["signups.complete"]({ token, password, client_addr: here });
  return c;
}
const password = "correct horse";
const login = async (c: Cluster, client_addr = here) => {
  const { ssh, tls } = await publicKeys();
  return c.proxy["logins.certs"]({
    user: "joe",
    password,
    client_addr,
    pub_key: ssh,
    tls_pub_key: tls,
    ttl: hour,
  });
};
/** Where alone a pair is good, by the SSH and by the X.509 certificate. */
const boundTo = ({
  cert = "",
  tls_cert = "",
}: {
  cert?: string | undefined;
  tls_cert?: string | undefined;
}) => [
  parsePublicKeyLine(cert).key.certificate?.criticalOptions.get("source-address"),
  readSubject(tls_cert).organizationalUnits,
];

suite("S33: certificates that are good at some addresses only", () => {
  for (const [what, options, ssh, tls] of [
    ["by no role", [{}], undefined, []],
    [
      "by pin_source_ip: where the login came from",
      [{}, { pin_source_ip: true }],
      "10.1.2.3/32",
      ["source-address:10.1.2.3/32"],
    ],
    [
      "by source_addresses of two roles: what they have in common",
      [{ source_addresses: ["10.0.0.0/8", "192.0.2.9"] }, { source_addresses: ["10.1.0.0/16", "10.9.9.9"] }],
      "10.1.0.0/16,10.9.9.9/32",
      ["source-address:10.1.0.0/16", "source-address:10.9.9.9/32"],
    ],
    [
      "by both",
      [{ source_addresses: ["10.0.0.0/8"], pin_source_ip: true }],
      "10.1.2.3/32",
      ["source-address:10.1.2.3/32"],
    ],
  ] as const) {
    test(`bound ${what}`, async () => {
      await using c = await withJoe(...options);
      assert.deepEqual(boundTo(await login(c)), [ssh, tls]);
    });
  }

  test("a login from where roles let nobody in is refused like one with a wrong password, and told with the reason", async () => {
    await using c = await withJoe({ source_addresses: ["10.0.0.0/8"] });
    const why = /only from 10\.0\.0\.0\/8, and you come from 192\.0\.2\.1/;
    await assert.rejects(login(c, elsewhere), refused(why));
    await assert.rejects(
      c.proxy["logins.web"]({ user: "joe", password, client_addr: elsewhere }),
      refused(why),
    );
    await assert.rejects(login(c, ""), refused(/only from/));
    const told = c.events.filter(({ code }) => code === "T1000W");
    assert.equal(told.length, 3);
    assert.ok(told[0]?.code === "T1000W" && why.test(told[0].error));
    // It is said only to who knows the password.
    await assert.rejects(
      c.proxy["logins.web"]({ user: "joe", password: "wrong horse", client_addr: elsewhere }),
      refused(/^invalid username or password$/),
    );
  });

  test("an invitation is not used up from where its user may not log in", async () => {
    await using c = await cluster();
    await c.admin["roles.put"]({ role: role("office", { options: { source_addresses: ["10.0.0.0/8"] } }) });
    const { token } = await c.admin["signups.create"]({
      user: "joe",
      roles: ["office"],
      traits: {},
      ttl: hour,
    });
    const complete = (client_addr: string) => c.proxy["signups.complete"]({ token, password, client_addr });
    await assert.rejects(complete(elsewhere), refused(/you come from 192\.0\.2\.1/));
    await assert.rejects(c.admin["users.get"]({ name: "joe" }), (err) => Fault.is(err, "not_found"));
    assert.equal((await complete(here)).user, "joe");
  });

  test("a web session is good there only, and hands the bond on: renewed, and to the certificates made for it", async () => {
    await using c = await withJoe({ pin_source_ip: true, max_session_ttl: "2h" });
    const opened = await c.proxy["logins.web"]({ user: "joe", password, client_addr: here });
    const at = (session: { id: string; bearer: string }, client_addr: string) => ({
      ...{ user: "joe", id: session.id, bearer: session.bearer },
      client_addr,
    });
    const renewed = await c.proxy["web_sessions.renew"](at(opened, here));
    for (const session of [opened, renewed]) {
      await c.proxy["web_sessions.get"](at(session, "10.1.2.3:999"));
      for (const from of [elsewhere, "", "10.1.2.4:1"]) {
        const { ssh } = await publicKeys();
        const why = refused(/may not be used from your address/);
        await assert.rejects(c.proxy["web_sessions.get"](at(session, from)), why);
        await assert.rejects(c.proxy["web_sessions.renew"](at(session, from)), why);
        await assert.rejects(c.proxy["web_sessions.certs"]({ ...at(session, from), pub_key: ssh }), why);
      }
    }
    // The roles of now would not pin any more; what was opened pinned stays so.
    await c.admin["roles.put"]({ role: role("r0", { allow: { logins: ["root"] } }), force: true });
    const { ssh, tls } = await publicKeys();
    const certs = await c.proxy["web_sessions.certs"]({
      ...at(renewed, here),
      pub_key: ssh,
      tls_pub_key: tls,
    });
    assert.deepEqual(boundTo(certs), ["10.1.2.3/32", ["source-address:10.1.2.3/32"]]);
    const { certificate } = parsePublicKeyLine(certs.cert ?? "").key;
    assert.equal(Number(certificate?.validBefore) * 1000, opened.expires);
    await c.proxy["web_sessions.delete"](at(renewed, elsewhere));
    await assert.rejects(c.proxy["web_sessions.get"](at(renewed, here)), refused(/over/));
  });

  test("the API reads the bond from the X.509 certificate and holds to it", async () => {
    await using c = await withJoe({ source_addresses: ["10.0.0.0/8", "2001:db8::/32"] });
    const { tls_cert = "" } = await login(c);
    const der = Buffer.from(tls_cert.replace(/-----[^-]+-----|\s/g, ""), "base64");
    const identity = identify(der, c.auth.authorities(), c.clock);
    assert.ok(identity.kind === "user");
    assert.deepEqual(identity.sources, ["10.0.0.0/8", "2001:db8::/32"]);
    for (const address of ["10.200.0.1", "::ffff:10.200.0.1", "2001:db8::1"]) checkSource(identity, address);
    for (const address of ["11.0.0.1", "", "localhost", "2001:db9::1"])
      assert.throws(() => checkSource(identity, address), refused(/may not be used from/));
  });

  test("S29: any other restriction in an X.509 certificate is refused, beside a bond too", async () => {
    await using c = await withJoe({});
    const ca = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now: c.clock.now() });
    const [own] = c.auth.authorities().filter(({ spec }) => spec.type === "user");
    assert.ok(own);
    const trusted = [{ ...own, spec: { ...own.spec, tls_key_pairs: [{ cert: ca.cert }] } }];
    const publicKey = Buffer.from((await publicKeys()).tls, "base64").toString();
    const times = { notBefore: c.clock.now(), notAfter: c.clock.now() + hour };
    for (const units of [
      ["usage:kube"],
      ["source-address:10.0.0.0/8", "usage:kube"],
      ["Source-Address:10.0.0.0/8"],
    ]) {
      const subject = { commonName: "joe", organizations: ["r0"], organizationalUnits: units };
      const cert = await issueTls({ ca, publicKey, subject, ...times });
      const der = Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ""), "base64");
      assert.throws(() => identify(der, trusted, c.clock), refused(/restricted to another use/));
    }
    const subject = { commonName: "joe", organizationalUnits: ["source-address:nonsense"] };
    const cert = await issueTls({ ca, publicKey, subject, ...times });
    const der = Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ""), "base64");
    const odd = identify(der, trusted, c.clock);
    assert.throws(() => checkSource(odd, "10.0.0.1"), refused(/may not be used from/));
  });
});

test("S45: what roles say is asked at each use of a certificate, and a deny that came later wins", async () => {
  await using c = await cluster();
  const reads = { resources: ["user"], verbs: ["list" as const] };
  await c.admin["roles.put"]({ role: role("reader", { allow: { rules: [reads] } }) });
  await c.addUser("ann", { roles: ["reader"] });
  const ann = c.user("ann", ["reader"]);
  assert.equal((await ann["users.list"]({})).length, 1);
  const changed = role("reader", { allow: { rules: [reads] }, deny: { rules: [reads] } });
  await c.admin["roles.put"]({ role: changed, force: true });
  await assert.rejects(ann["users.list"]({}), refused(/may not call users\.list/));
});
