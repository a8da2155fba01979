import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { suite, test } from "node:test";
import { companionId } from "#contract/names";
import { day, hour, minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import { Node } from "#model";
import { readSubject, validity } from "#pki";
import { checkCertificate, parsePublicKeyLine, sameKey } from "#ssh/keys";
import {
  type Cluster,
  cluster,
  hostId,
  joinRequest,
  otherId,
  publicKeys,
  system,
} from "../testing/cluster.ts";

const denied = (message: RegExp) => (err: unknown) =>
  Fault.is(err, "access_denied") && message.test(err.message);
const token = (c: Cluster, roles: ("node" | "proxy" | "auth" | "trusted_cluster")[], value?: string) =>
  c.admin["tokens.create"]({ roles, ttl: hour, ...(value !== undefined && { value }) });

suite("joining", () => {
  test("a token makes a node a member, with certificates of the host CA for 90 days", async () => {
    await using c = await cluster();
    const { metadata } = await token(c, ["node"]);
    const certs = await c.proxy["hosts.join"](
      await joinRequest("Node", {
        token: metadata.name,
        additional_principals: ["db.example.com", "0.0.0.0"],
        dns_names: ["db.example.com", "192.0.2.7"],
        remote_addr: "192.0.2.7:40000",
      }),
    );
    const now = c.clock.now();
    const cert = parsePublicKeyLine(certs.cert).key;
    const authority = parsePublicKeyLine(certs.ssh_ca_certs[0] ?? "").key;
    const said = checkCertificate(cert, {
      type: "host",
      isAuthority: (key) => sameKey(key, authority),
      principal: `${otherId}.main`,
      now,
    });
    assert.deepEqual(said.principals, [`${otherId}.main`, "db.main", "db", "db.example.com", "192.0.2.7"]);
    assert.deepEqual(Object.fromEntries(said.extensions), {
      "x-teleport-role": "Node",
      "x-teleport-authority": "main",
    });
    assert.equal(said.validAfter, BigInt((now - minute) / 1000));
    assert.equal(said.validBefore, BigInt((now + 90 * day) / 1000));
    const subject = readSubject(certs.tls_cert);
    assert.equal(subject.commonName, `${otherId}.main`);
    assert.deepEqual(subject.organizations, ["Node"]);
    assert.equal(validity(certs.tls_cert).notAfter, now + 90 * day);
    const tls = new X509Certificate(certs.tls_cert);
    assert.ok(tls.verify(new X509Certificate(certs.tls_ca_certs[0] ?? "").publicKey));
    assert.equal(tls.checkHost("db.example.com"), "db.example.com");
    assert.equal(tls.checkIP("192.0.2.7"), "192.0.2.7");
    assert.ok(c.events.some((e) => e.code === "T4000I" && e.server_id === otherId && e.method === "token"));
  });

  for (const [seen, principal] of [
    ["192.0.2.7:40000", "192.0.2.7"],
    ["[2001:db8::7]:40000", "2001:db8::7"],
    ["2001:db8::7", "2001:db8::7"],
    ["", undefined],
  ] as const) {
    test(`OVW-16: 0.0.0.0 stands for the address the host was seen at, ${seen || "if it was"}`, async () => {
      await using c = await cluster();
      const more = { token: "static/token", additional_principals: ["0.0.0.0"], remote_addr: seen };
      const { cert } = await c.proxy["hosts.join"](await joinRequest("Node", more));
      const { certificate } = parsePublicKeyLine(cert).key;
      assert.deepEqual(certificate?.principals.slice(3), principal === undefined ? [] : [principal]);
    });
  }

  test("a proxy's certificates have the names that tunnels and Kubernetes use", async () => {
    await using c = await cluster();
    const certs = await c.stranger["hosts.join"](await joinRequest("Proxy", { token: "static/token" }));
    const { certificate } = parsePublicKeyLine(certs.cert).key;
    assert.ok(certificate?.principals.includes("127.0.0.1"));
    assert.ok(certificate?.principals.includes("remote.kube.proxy.teleport.cluster.local"));
  });

  test("a second auth server joins, and clients know it by the common name", async () => {
    await using c = await cluster();
    const { metadata } = await token(c, ["auth"]);
    const certs = await c.stranger["hosts.join"](await joinRequest("Auth", { token: metadata.name }));
    const tls = new X509Certificate(certs.tls_cert);
    assert.ok(tls.checkHost("teleport.cluster.local") && tls.checkHost("6d61696e.teleport.cluster.local"));
  });

  test("static and dynamic tokens are good any number of times", async () => {
    await using c = await cluster();
    const { metadata } = await token(c, ["node"], "secret-value");
    assert.equal(metadata.name, "secret-value");
    for (const value of ["secret-value", "static/token"])
      for (let i = 0; i < 2; i++) await c.stranger["hosts.join"](await joinRequest("Node", { token: value }));
  });

  test("AUTH-11: a dynamic token ends at its time, a revoked one at once", async () => {
    await using c = await cluster();
    await token(c, ["node"], "one");
    await token(c, ["node"], "two");
    await c.admin["tokens.delete"]({ name: "two" });
    const join = async (value: string) =>
      c.stranger["hosts.join"](await joinRequest("Node", { token: value }));
    await assert.rejects(
      join("two"),
      denied(/^"db" \[9c1d.*\] can not join the cluster with role Node, the token is not valid$/),
    );
    await join("one");
    await c.clock.advance(hour);
    await assert.rejects(join("one"), denied(/the token is not valid/));
    assert.equal(c.events.filter((e) => e.code === "T4000W").length, 2);
  });

  test("S50: a token is good for its own roles only, and never for a person or from one", async () => {
    await using c = await cluster();
    const node = (await token(c, ["node"])).metadata.name;
    const trusted = (await token(c, ["trusted_cluster"])).metadata.name;
    const signup = (await c.admin["signups.create"]({ user: "joe", traits: {}, ttl: hour })).token;
    const join = async (role: "Node" | "Proxy" | "Auth", value: string) =>
      c.stranger["hosts.join"](await joinRequest(role, { token: value }));
    for (const role of ["Proxy", "Auth"] as const)
      await assert.rejects(join(role, node), denied(new RegExp(`the token does not allow "${role}" role`)));
    for (const role of ["Node", "Proxy", "Auth"] as const) {
      await assert.rejects(join(role, trusted), denied(/does not allow/));
      for (const value of [signup, "", "static", "static/token2", "__proto__"])
        await assert.rejects(join(role, value), denied(/not valid/));
    }
    await assert.rejects(join("Auth", "static/token"), denied(/does not allow/));
    for (const value of [node, trusted, "static/token"])
      await assert.rejects(c.proxy["signups.complete"]({ token: value, password: "correct horse" }), (err) =>
        Fault.is(err, "not_found"),
      );
  });

  test("S49: of 100 joins at once with a token for one host, one gets in", async () => {
    await using c = await cluster();
    const { metadata } = await c.admin["tokens.create"]({ roles: ["node"], ttl: hour, uses: 1 });
    const request = await joinRequest("Node", { token: metadata.name });
    const join = () => c.stranger["hosts.join"](request);
    // Those told to come again do.
    const persistent = async (): Promise<boolean> => {
      try {
        await join();
        return true;
      } catch (err) {
        if (Fault.is(err, "limit_exceeded")) {
          await new Promise<void>((resolve) => setImmediate(resolve));
          return persistent();
        }
        assert.ok(denied(/the token is not valid/)(err), String(err));
        return false;
      }
    };
    const all = await Promise.all(Array.from({ length: 100 }, persistent));
    assert.equal(all.filter((joined) => joined).length, 1);
    assert.equal(c.events.filter((e) => e.code === "T4000I").length, 1);
    assert.deepEqual(
      (await c.admin["tokens.list"]({})).map(({ spec }) => spec.static),
      [true],
    );
  });

  test("a token for three hosts is listed with what is left of it, and not counted down by those it refuses", async () => {
    await using c = await cluster();
    const { metadata } = await c.admin["tokens.create"]({ roles: ["node"], ttl: hour, uses: 3 });
    const join = async (role: "Node" | "Proxy") =>
      c.stranger["hosts.join"](await joinRequest(role, { token: metadata.name }));
    const left = async () =>
      (await c.admin["tokens.list"]({})).find(({ metadata: { name } }) => name === metadata.name)?.spec.uses;
    await assert.rejects(join("Proxy"), denied(/does not allow/));
    assert.equal(await left(), 3);
    await join("Node");
    await join("Node");
    assert.equal(await left(), 1);
    await join("Node");
    assert.equal(await left(), undefined);
    await assert.rejects(join("Node"), denied(/not valid/));
  });

  test("AUTH-20: the address in the audit log is the one that was seen, or that a proxy tells; not what a stranger says", async () => {
    await using c = await cluster();
    const request = await joinRequest("Node", { token: "static/token", remote_addr: "192.0.2.1:1" });
    await c.stranger["hosts.join"](request);
    await c.as({ kind: "anonymous", from: "192.0.2.9:9" })["hosts.join"](request);
    await c.node["hosts.join"](request);
    await c.proxy["hosts.join"](request);
    const said = c.events.filter((e) => e.code === "T4000I").map((e) => e["addr.remote"]);
    assert.deepEqual(said, [undefined, "192.0.2.9:9", undefined, "192.0.2.1:1"]);
  });

  test("S31: a certificate never names another host", async () => {
    await using c = await cluster();
    const join = async (more: object) =>
      c.stranger["hosts.join"](await joinRequest("Node", { token: "static/token", ...more }));
    for (const name of [hostId, `${hostId}.main`, `${hostId.toUpperCase()}.main`]) {
      await assert.rejects(join({ additional_principals: [name] }), denied(/name of another host/));
      await assert.rejects(join({ node_name: name }), denied(/name of another host/));
    }
    for (const name of [
      "teleport.cluster.local",
      "x.teleport.cluster.local",
      "*.teleport.cluster.local",
      "*.cluster.local",
      "TELEPORT.cluster.local",
    ])
      await assert.rejects(join({ dns_names: [name] }), denied(/kept for the auth servers/));
    const anyProxy = ["Remote.kube.proxy.teleport.cluster.local"];
    await assert.rejects(join({ additional_principals: anyProxy }), denied(/kept for the proxies/));
  });

  test("S27: principals that mean more than one name are not certified", async () => {
    await using c = await cluster();
    for (const name of ["deploy,root", " root", "root\0", "*", "", "rооt"])
      await assert.rejects(
        c.stranger["hosts.join"](
          await joinRequest("Node", { token: "static/token", additional_principals: [name] }),
        ),
        (err) => Fault.is(err, "bad_parameter"),
        JSON.stringify(name),
      );
    await assert.rejects(
      c.stranger["hosts.join"](await joinRequest("Node", { token: "static/token", dns_names: ["a b"] })),
      (err) => Fault.is(err, "bad_parameter"),
    );
  });

  test("S31: a token does not make anyone a member who is alive", async () => {
    await using c = await cluster();
    const member = c.as(system("Node", otherId));
    await member["nodes.announce"](nodeOf(otherId));
    const join = async () => c.stranger["hosts.join"](await joinRequest("Node", { token: "static/token" }));
    await assert.rejects(join(), denied(/is alive/));
    await c.clock.advance(31 * second);
    await join();
  });

  test("S31: a member renews its own certificates, in its own role, without a token", async () => {
    await using c = await cluster();
    const request = await joinRequest("Node", {});
    await c.as(system("Node", otherId))["hosts.renew"](request);
    for (const identity of [system("Node", hostId), system("Proxy", otherId), { kind: "anonymous" } as const])
      await assert.rejects(c.as(identity)["hosts.renew"](request), denied(/may not call/));
    await assert.rejects(
      c.as(system("Node", otherId))["hosts.renew"]({ ...request, role: "Auth" }),
      denied(/may not call/),
    );
  });

  test("S31: a proxy has its further processes certified, under ids that nobody else can be given", async () => {
    await using c = await cluster();
    const { role: _, ...keys } = await joinRequest("Proxy", {});
    const proxy = c.as(system("Proxy", otherId));
    const subjects = await Promise.all(
      [2, 3].map(async (process) => {
        const { tls_cert } = await proxy["hosts.companion"]({ ...keys, process });
        return new X509Certificate(tls_cert).subject;
      }),
    );
    for (const [i, subject] of subjects.entries()) {
      assert.match(subject, /^O=Proxy$/m);
      assert.ok(subject.includes(`CN=${companionId(otherId, i + 2)}.`), subject);
    }
    assert.equal(
      new Set([otherId, companionId(hostId, 2), ...[2, 3].map((n) => companionId(otherId, n))]).size,
      4,
    );
    assert.ok(
      c.events.some((event) => event.code === "T4000I" && event.server_id === companionId(otherId, 2)),
    );
    for (const identity of [system("Proxy", hostId), system("Node", otherId), { kind: "anonymous" } as const])
      await assert.rejects(
        c.as(identity)["hosts.companion"]({ ...keys, process: 2 }),
        denied(/may not call/),
      );
    await assert.rejects(proxy["hosts.companion"]({ ...keys, process: 1 }), (err) =>
      Fault.is(err, "bad_parameter"),
    );
  });

  test("AUTH-22: more than ten at once are told to come again", async () => {
    await using c = await cluster();
    const request = await joinRequest("Node", { token: "static/token" });
    const all = await Promise.allSettled(Array.from({ length: 30 }, () => c.stranger["hosts.join"](request)));
    const refused = all.filter((r) => r.status === "rejected");
    assert.ok(refused.length > 0 && refused.length <= 20);
    assert.ok(refused.every((r) => Fault.is(r.reason, "limit_exceeded")));
    await c.stranger["hosts.join"](request);
  });

  test("keys that are no keys, or certificates, are refused", async () => {
    await using c = await cluster();
    const good = await joinRequest("Node", { token: "static/token" });
    const { cert } = await c.stranger["hosts.join"](good);
    for (const public_ssh_key of ["!!!", "aGVsbG8=", Buffer.from(cert).toString("base64")])
      await assert.rejects(c.stranger["hosts.join"]({ ...good, public_ssh_key }), (err) =>
        Fault.is(err, "bad_parameter"),
      );
    await assert.rejects(
      c.stranger["hosts.join"]({ ...good, public_tls_key: (await publicKeys()).ssh }),
      (err) => Fault.is(err, "bad_parameter"),
    );
  });
});

suite("tokens", () => {
  test("a list has the static, the dynamic and those of invited people", async () => {
    await using c = await cluster();
    await token(c, ["node", "proxy"], "mine");
    await c.admin["signups.create"]({ user: "joe", traits: {}, ttl: hour });
    const all = await c.admin["tokens.list"]({});
    assert.deepEqual(
      all.map(({ metadata, spec }) => [
        spec.roles.join(),
        spec.static ?? false,
        metadata.expires !== undefined,
      ]),
      [
        ["node,proxy", true, false],
        ["node,proxy", false, true],
        ["signup", false, true],
      ],
    );
  });
  test("AUTH-13: a static token cannot be removed or made again", async () => {
    await using c = await cluster();
    await assert.rejects(
      c.admin["tokens.delete"]({ name: "static/token" }),
      /token static\/token is statically configured and cannot be removed/,
    );
    await assert.rejects(token(c, ["node"], "static/token"), (err) => Fault.is(err, "already_exists"));
  });
  test("an expired token is not listed, and its value is free again", async () => {
    await using c = await cluster();
    await token(c, ["node"], "short");
    await c.admin["signups.create"]({ user: "joe", traits: {}, ttl: hour });
    await c.clock.advance(hour - 1);
    assert.equal((await c.admin["tokens.list"]({})).length, 3);
    await c.clock.advance(1);
    const left = await c.admin["tokens.list"]({});
    assert.deepEqual(
      left.map(({ metadata }) => metadata.name),
      ["static/token"],
    );
    await token(c, ["proxy"], "short");
  });
  test("a signup token that is deleted invites nobody any more", async () => {
    await using c = await cluster();
    const { token: name } = await c.admin["signups.create"]({ user: "joe", traits: {}, ttl: hour });
    await c.proxy["signups.get"]({ token: name });
    await c.admin["tokens.delete"]({ name });
    await assert.rejects(c.proxy["signups.get"]({ token: name }), (err) => Fault.is(err, "not_found"));
  });
  test("a token that hosts would read as the path of a file is not made", async () => {
    await using c = await cluster();
    await assert.rejects(token(c, ["node"], "/run/token"), (err) => Fault.is(err, "bad_parameter"));
  });
  test("a token is made once and removed once", async () => {
    await using c = await cluster();
    await token(c, ["node"], "x");
    await assert.rejects(token(c, ["node"], "x"), (err) => Fault.is(err, "already_exists"));
    await c.admin["tokens.delete"]({ name: "x" });
    await assert.rejects(c.admin["tokens.delete"]({ name: "x" }), (err) => Fault.is(err, "not_found"));
  });
  test("S72: no token, password, seed or private key is in the log or the audit log", async () => {
    await using c = await cluster();
    const made = (await token(c, ["node"], "planted-token")).metadata.name;
    await c.stranger["hosts.join"](await joinRequest("Node", { token: made }));
    await c.stranger["hosts.join"](await joinRequest("Node", { token: "planted-guess" })).catch(() => {});
    const { session } = await c.signUp("joe", "planted-password");
    await c.proxy["logins.web"]({ user: "joe", password: "planted-wrong" }).catch(() => {});
    await c.admin["tokens.delete"]({ name: made });
    const written = JSON.stringify([c.log.lines, c.events]);
    for (const secret of ["planted", session.id, session.bearer, "PRIVATE KEY"])
      assert.ok(!written.includes(secret), secret);
  });
});

function nodeOf(id: string): Node {
  return Node.parse({ kind: "node", version: "v2", metadata: { name: id }, spec: { hostname: "db" } });
}
