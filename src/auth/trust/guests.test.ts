import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { suite, test } from "node:test";
import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { type CertAuthority, type Identity, Role } from "#model";
import { identify } from "../certificates/peer.ts";
import { type Cluster, otherId, publicKeys, system } from "../testing/cluster.ts";
import { refused, two } from "../testing/two-clusters.ts";

const names = (cas: readonly CertAuthority[]): string[] =>
  cas.map(({ spec }) => `${spec.type}/${spec.cluster_name}`).sort();

const identified = (raw: Uint8Array, { auth, clock }: Cluster): Identity =>
  identify(raw, auth.authorities(), clock, auth.trusted());

/** A person's and a host's certificate of a cluster, X.509. The host claims to be all that one can. */
async function certificatesOf(c: Cluster): Promise<{ person: Uint8Array; host: Uint8Array }> {
  const { ssh, tls } = await publicKeys();
  const keys = { public_ssh_key: ssh, public_tls_key: tls };
  const signed = await c.admin["users.sign"]({ user: "joe", pub_key: ssh, tls_pub_key: tls, ttl: hour });
  const admin = { host_id: otherId, role: "Admin", node_name: "x" } as const;
  const host = await c.auth.issueHost({ ...admin, additional_principals: [], dns_names: [], ...keys });
  const raw = (pem: string | undefined): Uint8Array => new X509Certificate(pem ?? assert.fail()).raw;
  return { person: raw(signed.tls_cert), host: raw(host.tls_cert) };
}

/** Waits until the cluster's own copy of its state has what was written. */
async function settled(c: Cluster, done: () => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const check = (): void => {
    if (done()) resolve();
  };
  const leave = c.auth.onAuthorities(check);
  check();
  await promise;
  leave();
}

const auditor = Role.parse({
  kind: "role",
  version: "v3",
  metadata: { name: "auditor" },
  spec: {
    allow: {
      logins: ["{{internal.logins}}"],
      node_labels: { env: "east" },
      rules: [{ resources: ["event"], verbs: ["list", "read"] }],
    },
  },
});

suite("S32: another cluster's authorities make nobody here beyond the mapping", () => {
  test("while the link is not enabled no call shows them, and no certificate of theirs is let in", async () => {
    await using t = await two();
    await t.link();
    await settled(t.east, () => t.east.auth.trusted().length === 1);
    assert.deepEqual(names(await t.east.admin["authorities.list"]({})), ["host/east", "user/east"]);
    const others = ["host/east", "host/main", "user/main"];
    for (const secrets of [false, true])
      assert.deepEqual(names(await t.main.admin["authorities.list"]({ secrets })), others);
    for (const c of [t.main, t.east]) {
      const own = c.auth.clusterName;
      assert.deepEqual(names(c.auth.authorities()), [`host/${own}`, `user/${own}`]);
      assert.deepEqual(names((await c.admin["cluster.status"]({})).cas), [`host/${own}`, `user/${own}`]);
      await c.addUser("joe", { traits: { logins: ["root"] } });
    }
    for (const [at, of] of [
      [t.east, t.main],
      [t.main, t.east],
    ] as const) {
      for (const raw of Object.values(await certificatesOf(of))) {
        assert.notEqual(identified(raw, of).kind, "anonymous");
        assert.throws(() => identified(raw, at), refused("access_denied", /is not of this cluster/));
      }
    }
  });

  test("enabled, its people have what the mapping gives them; its machines and admins are nobody", async () => {
    await using t = await two();
    await t.east.admin["roles.put"]({ role: auditor });
    await t.link({ enabled: true, role_map: [{ remote: "admin", local: ["auditor"] }] });
    await settled(t.east, () => t.east.auth.trusted()[0]?.resource.spec.enabled === true);
    for (const c of [t.main, t.east]) await c.addUser("joe", { traits: { logins: ["root"] } });
    const { person, host } = await certificatesOf(t.main);
    assert.throws(() => identified(host, t.east), refused("access_denied", /is not of this cluster/));
    for (const raw of Object.values(await certificatesOf(t.east)))
      assert.throws(() => identified(raw, t.main), refused("access_denied", /is not of this cluster/));

    const joe = identified(person, t.east);
    assert.deepEqual([joe.kind, "user" in joe && joe.user], ["remote_user", "joe"]);
    const caller = await t.east.auth.callerOf(joe);
    assert.equal(caller.name, "joe@main");
    assert.deepEqual([caller.can("list", "event"), caller.can("create", "role")], [true, false]);
    const sees = (labels: Record<string, string>): boolean => t.east.auth.callers.sees(caller, labels);
    assert.deepEqual([sees({ env: "east" }), sees({})], [true, false]);
    // Not even what everybody may read of their own account: that one is a namesake's.
    await assert.rejects(t.east.as(joe)["users.get"]({ name: "joe" }), (err) =>
      Fault.is(err, "access_denied"),
    );
    assert.equal(t.east.events.at(-1)?.code, "T4051W");
    assert.equal((t.east.events.at(-1) as { user?: string }).user, "joe@main");
    assert.deepEqual(names(await t.east.as(joe)["authorities.list"]({ type: "host" })), [
      "host/east",
      "host/main",
    ]);

    // The namesake is locked: that is no affair of joe's of main.
    await t.east.admin["users.lock"]({ name: "joe" });
    await t.east.auth.callerOf(joe);
    // As soon as the link is disabled, whoever was identified before may call nothing.
    await t.again({ enabled: false, role_map: [{ remote: "admin", local: ["auditor"] }] });
    await assert.rejects(t.east.auth.callerOf(joe), refused("access_denied", /main is not trusted here/));
    await settled(t.east, () => t.east.auth.trusted()[0]?.resource.spec.enabled === false);
    assert.throws(() => identified(person, t.east), refused("access_denied", /is not of this cluster/));
  });

  test("whose roles are mapped to nothing, or to what is gone, is let in nowhere", async () => {
    await using t = await two();
    await t.east.admin["roles.put"]({ role: auditor });
    await t.link({ enabled: true, role_map: [{ remote: "ops", local: ["auditor"] }] });
    const joe = (...roles: string[]): Identity => ({
      ...{ kind: "remote_user", user: "joe", cluster: "main", roles, logins: ["root"], expires: 0 },
    });
    await assert.rejects(t.east.auth.callerOf(joe("admin")), refused("access_denied", /is mapped to one/));
    await t.east.auth.callerOf(joe("admin", "ops"));
    await t.east.admin["roles.delete"]({ name: "auditor" }).catch(() => {});
    await assert.rejects(
      t.east.auth.callerOf(joe("ops")),
      refused("access_denied", /"auditor" of user joe@main/),
    );
  });

  test("and who would be identified as a machine of theirs all the same may call nothing", async () => {
    await using t = await two();
    await t.link({ enabled: true });
    await assert.rejects(
      t.east.as(system("Admin", otherId, "main"))["users.list"]({}),
      refused("access_denied", /certificates of the cluster main are not good here/),
    );
  });
});
