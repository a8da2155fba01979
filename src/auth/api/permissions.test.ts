import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type AuthContract, authContract } from "#contract/auth";
import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { type Identity, Node, ProxyServer, publicPart } from "#model";
import {
  account,
  type Cluster,
  cluster,
  hostId,
  joinRequest,
  otherId,
  publicKeys,
  role,
  system,
} from "../testing/cluster.ts";

type Name = keyof AuthContract;
const sid = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
const keyAnswer = {
  id: "AA",
  rawId: "AA",
  type: "public-key",
  response: { clientDataJSON: "AA", authenticatorData: "AA", signature: "AA" },
};
const kinds = ["Admin", "Auth", "Proxy", "Node", "superuser", "admin", "anonymous"] as const;
type Kind = (typeof kinds)[number];

/** A cluster with everything in it that a caller could ask for, and an input for every call that would work. */
async function full(): Promise<{
  c: Cluster;
  identity: (kind: Kind) => Identity;
  input: Record<Name, unknown>;
}> {
  const c = await cluster();
  await c.admin["roles.put"]({
    role: role("superuser", { allow: { logins: ["root"], rules: [{ resources: ["*"], verbs: ["*"] }] } }),
  });
  await c.addUser("superuser", { roles: ["superuser"] });
  await c.addUser("admin", { roles: ["admin"] });
  const { session } = await c.signUp("joe");
  const node = Node.parse({
    kind: "node",
    version: "v2",
    metadata: { name: hostId },
    spec: { hostname: "db" },
  });
  const proxy = ProxyServer.parse({
    kind: "proxy",
    version: "v2",
    metadata: { name: hostId },
    spec: { hostname: "px" },
  });
  await c.node["nodes.announce"](node);
  await c.proxy["proxies.announce"](proxy);
  const { token } = await c.admin["signups.create"]({ user: "ann", traits: {}, ttl: hour });
  const { ssh, tls } = await publicKeys();
  const connector = {
    kind: "github",
    version: "v3",
    metadata: { name: "corp" },
    spec: { client_id: "id", client_secret: "secret", redirect_url: "https://px/v1/webapi/github/callback" },
  };
  const trusted = {
    kind: "trusted_cluster",
    version: "v2",
    metadata: { name: "other" },
    spec: { token: "x", web_proxy_addr: "127.0.0.1:1" },
  };
  const link = await c.admin["tokens.create"]({ roles: ["trusted_cluster"], ttl: hour });
  const ca = await c.auth.parts.store.authorities.get("host/main");
  const web = { user: "joe", id: session.id, bearer: session.bearer };
  const credentials = { user: "joe", password: "correct horse" };
  const { role: _, ...keys } = await joinRequest("Node", {});
  const input: Record<Name, unknown> = {
    "cluster.status": {},
    "cluster.config": {},
    "cluster.preference": {},
    "cluster.ca": {},
    "authorities.list": { secrets: false },
    "authorities.restore": { authorities: [publicPart(ca)] },
    "authorities.rotate": { types: ["user"] },
    "authorities.rehearse": { phase: "init" },
    "mirror.watch": {},
    "hosts.join": { ...keys, role: "Node", token: "static/token" },
    "hosts.renew": { ...keys, host_id: hostId, role: "Node" },
    "hosts.companion": { ...keys, host_id: hostId, process: 2 },
    "hosts.sign": { names: ["db.example.com"], pub_key: ssh },
    "nodes.list": {},
    "nodes.announce": node,
    "nodes.remove": { name: otherId },
    "proxies.list": {},
    "proxies.announce": proxy,
    "proxies.remove": { name: otherId },
    "auth_servers.list": {},
    "tokens.list": {},
    "tokens.create": { roles: ["node"], ttl: hour },
    "tokens.delete": { name: "nothing" },
    "users.list": {},
    "users.get": { name: "joe" },
    "users.put": { user: account("joe"), force: true },
    "users.delete": { name: "nobody" },
    "users.change": { name: "nobody", roles: ["admin"] },
    "users.lock": { name: "nobody" },
    "users.unlock": { name: "nobody" },
    "users.reset": { name: "nobody", ttl: hour },
    "sources.unlock": { source: "192.0.2.1" },
    "locks.list": {},
    "users.sign": { user: "joe", pub_key: ssh, tls_pub_key: tls, ttl: hour },
    "signups.create": { user: "eve", traits: {}, ttl: hour },
    "signups.get": { token },
    "signups.challenge": { token },
    "signups.complete": { token: "nothing", password: "correct horse" },
    "users.change_password": { ...credentials, new_password: "correct horse" },
    "logins.certs": { ...credentials, pub_key: ssh, tls_pub_key: tls, ttl: hour },
    "logins.challenge": { ...credentials, purpose: "web" },
    "console_logins.create": {
      user: "joe",
      redirect_url: `http://127.0.0.1:4242/?secret_key=${"ab".repeat(32)}`,
      pub_key: ssh,
      ttl: hour,
    },
    "console_logins.get": { id: "nothing" },
    "console_logins.challenge": { id: "nothing", password: "correct horse" },
    "console_logins.complete": { id: "nothing", webauthn: keyAnswer },
    "logins.web": credentials,
    "sso.start": { kind: "github", flow: { type: "web", redirect_url: "/web", csrf_token: "ab".repeat(32) } },
    "sso.finish": { kind: "github", query: "state=nothing" },
    "web_sessions.get": web,
    "web_sessions.renew": web,
    "web_sessions.certs": { ...web, pub_key: ssh, tls_pub_key: tls },
    "web_sessions.delete": { ...web, id: "nothing" },
    "roles.list": {},
    "roles.get": { name: "admin" },
    "roles.put": { role: role("new", {}), force: true },
    "roles.delete": { name: "nothing" },
    "connectors.list": {},
    "connectors.put": { connector, force: true },
    "connectors.delete": { kind: "github", name: "nothing" },
    "trusted_clusters.list": {},
    "trusted_clusters.put": { cluster: trusted, force: true },
    "trusted_clusters.delete": { name: "nothing" },
    "remote_clusters.list": {},
    "remote_clusters.accept": { token: link.metadata.name, authorities: [publicPart(ca)] },
    "remote_clusters.delete": { name: "nothing" },
    "remote_clusters.tunnel": { name: "nothing", connected: true },
    "links.statement": {},
    "links.learn": { name: "nothing", statement: "x" },
    "access.explain": { user: "joe", target: "joe@db" },
    "audit.emit": {
      events: [
        {
          event: "node.join",
          code: "T4000I",
          uid: sid,
          time: "2026-01-01T00:00:00Z",
          namespace: "default",
          role: "Node",
          server_id: hostId,
          success: true,
        },
      ],
    },
    "audit.search": { from: 0, to: 1 },
    "recordings.offset": { sid, file: "log" },
    "recordings.upload": { sid, file: "log", offset: 0 },
    "recordings.finish": { sid, sha256: { bytes: "", log: "" } },
    "recordings.read": { sid, file: "log", offset: 0, length: 10 },
  };
  const identity = (kind: Kind): Identity => {
    if (kind === "anonymous") return { kind };
    if (kind === "superuser" || kind === "admin") {
      const expires = c.clock.now() + hour;
      return { kind: "user", user: kind, roles: [kind], logins: [], traits: {}, cluster: "main", expires };
    }
    return system(kind);
  };
  return { c, identity, input };
}

/** What the call answers, or its refusal; a failure for any other reason means that the door was open. */
async function attempt(c: Cluster, identity: Identity, name: Name, input: unknown): Promise<unknown> {
  const client = c.as(identity) as unknown as Record<string, (...args: unknown[]) => unknown>;
  const run = client[name];
  assert.ok(run);
  try {
    if (authContract[name].shape === "feed") {
      const all: unknown[] = [];
      for await (const value of run(input) as AsyncIterable<{ type: string }>) {
        all.push(value);
        if (value.type === "live") break;
      }
      return all;
    }
    if (authContract[name].shape === "upload") return await run(input, (async function* () {})());
    return await run(input);
  } catch (err) {
    if (Fault.is(err, "access_denied")) return "refused";
    if (err instanceof Fault) return err.message;
    throw err;
  }
}

const all = "Admin Auth Proxy Node superuser admin anonymous";
const members = "Admin Auth Proxy Node";
const people = "superuser admin";
/** Who may call what (AUTH-02, AUTH-03, S35). Changing this table is a decision. */
const policy: Record<Name, string> = {
  "cluster.status": `${members} ${people}`,
  "cluster.config": `${members} ${people}`,
  "cluster.preference": "Admin Auth Proxy",
  "cluster.ca": all,
  "authorities.list": `${members} ${people}`,
  "authorities.restore": "Admin Auth",
  "authorities.rotate": "Admin Auth superuser",
  "authorities.rehearse": "Admin Auth superuser",
  "mirror.watch": members,
  "hosts.join": all,
  "hosts.renew": "Node",
  "hosts.companion": "Proxy",
  "hosts.sign": "Admin Auth",
  "nodes.list": `${members} ${people}`,
  "nodes.announce": "Admin Auth Node",
  "nodes.remove": "Admin Auth superuser",
  "proxies.list": `${members} ${people}`,
  "proxies.announce": "Admin Auth Proxy",
  "proxies.remove": "Admin Auth",
  "auth_servers.list": `${members} ${people}`,
  "tokens.list": "Admin Auth superuser",
  "tokens.create": "Admin Auth superuser",
  "tokens.delete": "Admin Auth superuser",
  "users.list": `${members} superuser`,
  "users.get": `${members} superuser`,
  "users.put": "Admin Auth superuser",
  "users.delete": "Admin Auth superuser",
  "users.change": "Admin Auth superuser",
  "users.lock": "Admin Auth superuser",
  "users.unlock": "Admin Auth superuser",
  "users.reset": "Admin Auth superuser",
  "sources.unlock": "Admin Auth superuser",
  "locks.list": `${members} superuser`,
  "users.sign": "Admin Auth",
  "signups.create": "Admin Auth superuser",
  "signups.get": "Admin Auth Proxy",
  "signups.challenge": "Admin Auth Proxy",
  "signups.complete": "Admin Auth Proxy",
  "users.change_password": "Admin Auth Proxy",
  "logins.certs": "Admin Auth Proxy",
  "logins.challenge": "Admin Auth Proxy",
  "console_logins.create": "Admin Auth Proxy",
  "console_logins.get": "Admin Auth Proxy",
  "console_logins.challenge": "Admin Auth Proxy",
  "console_logins.complete": "Admin Auth Proxy",
  "logins.web": "Admin Auth Proxy",
  "sso.start": "Admin Auth Proxy",
  "sso.finish": "Admin Auth Proxy",
  "web_sessions.get": "Admin Auth Proxy",
  "web_sessions.renew": "Admin Auth Proxy",
  "web_sessions.certs": "Admin Auth Proxy",
  "web_sessions.delete": "Admin Auth Proxy",
  "roles.list": `${members} ${people}`,
  "roles.get": `${members} ${people}`,
  "roles.put": "Admin Auth superuser admin",
  "roles.delete": "Admin Auth superuser admin",
  "connectors.list": `Admin Auth Proxy ${people}`,
  "connectors.put": `Admin Auth ${people}`,
  "connectors.delete": `Admin Auth ${people}`,
  "trusted_clusters.list": `Admin Auth ${people}`,
  "trusted_clusters.put": `Admin Auth ${people}`,
  "trusted_clusters.delete": `Admin Auth ${people}`,
  "remote_clusters.list": "Admin Auth Proxy superuser",
  "remote_clusters.accept": "Admin Auth Proxy",
  "remote_clusters.delete": "Admin Auth superuser",
  "remote_clusters.tunnel": "Admin Auth Proxy",
  "links.statement": "Admin Auth Proxy",
  "links.learn": "Admin Auth Proxy",
  "access.explain": "Admin Auth superuser",
  "audit.emit": members,
  "audit.search": "Admin Auth Proxy superuser admin",
  "recordings.offset": members,
  "recordings.upload": members,
  "recordings.finish": members,
  "recordings.read": "Admin Auth Proxy superuser admin",
};

suite("S35: every call of the auth API, as every kind of caller", () => {
  test("the table names every call", () => {
    assert.deepEqual(Object.keys(policy).sort(), Object.keys(authContract).sort());
  });
  for (const name of Object.keys(policy) as Name[]) {
    test(name, async () => {
      const { c, identity, input } = await full();
      await using _ = c;
      for (const kind of kinds) {
        const answer = await attempt(c, identity(kind), name, input[name]);
        assert.equal(
          answer === "refused" ? "refused" : "let in",
          policy[name].split(" ").includes(kind) ? "let in" : "refused",
          kind,
        );
      }
    });
  }

  for (const [why, identity, name, input] of [
    ["a node renews as a proxy", system("Node"), "hosts.renew", { role: "Proxy" }],
    ["a node renews another", system("Node", otherId), "hosts.renew", {}],
    ["a proxy asks for a process of another", system("Proxy", otherId), "hosts.companion", {}],
    ["a node asks for a process of a proxy", system("Node"), "hosts.companion", {}],
    ["a node announces another", system("Node", otherId), "nodes.announce", undefined],
    ["a proxy announces another", system("Proxy", otherId), "proxies.announce", undefined],
    ["a proxy asks for private keys", system("Proxy"), "authorities.list", { secrets: true }],
    ["a node asks for private keys", system("Node"), "authorities.list", { secrets: true }],
    ["a proxy asks for clients' secrets", system("Proxy"), "connectors.list", { secrets: true }],
    ["a node tells what happened elsewhere", system("Node", otherId), "audit.emit", undefined],
  ] as const) {
    test(`refused: ${why}`, async () => {
      const { c, input: inputs } = await full();
      await using _ = c;
      const given = input === undefined ? inputs[name] : { ...(inputs[name] as object), ...input };
      assert.equal(await attempt(c, identity, name, given), "refused");
    });
  }

  test("refused everything: who has no account here, or one that is locked, whatever the certificate says", async () => {
    const { c, input } = await full();
    await using _ = c;
    await c.addUser("locked", { roles: ["superuser"], status: { is_locked: true } });
    const person = {
      kind: "user",
      roles: ["superuser"],
      logins: [],
      traits: {},
      expires: c.clock.now() + hour,
    } as const;
    for (const identity of [
      { ...person, user: "superuser", cluster: "east" },
      { ...person, user: "gone", cluster: "main" },
      { ...person, user: "locked", cluster: "main" },
      { ...person, user: "superuser", cluster: "main", roles: ["superuser", "gone"] },
      { ...system("Admin"), cluster: "east" },
    ])
      for (const name of Object.keys(policy) as Name[])
        assert.equal(
          await attempt(c, identity, name, input[name]),
          "refused",
          `${JSON.stringify(identity)} ${name}`,
        );
  });

  test("who may not call learns nothing of the input either", async () => {
    const { c, identity } = await full();
    await using _ = c;
    assert.equal(await attempt(c, identity("admin"), "tokens.create", { roles: 7 }), "refused");
  });
});

suite("S34: private keys", () => {
  test("are in no answer, whoever calls, but in the administrator's list of authorities with secrets", async () => {
    for (const kind of kinds) {
      const { c, identity, input } = await full();
      await using _ = c;
      const authorities = await c.auth.parts.store.authorities.list();
      const body = (pem = ""): string => pem.replaceAll(/-----[^-]+-----|\s/g, "");
      // Without armour, and only that part of each which is in no public key.
      const keys = authorities.flatMap(({ spec }) => [
        ...(spec.signing_keys ?? []).map((key) => body(key).slice(-98, -60)),
        ...spec.tls_key_pairs.map(({ key }) => body(key).slice(50, 88)),
      ]);
      assert.deepEqual(
        keys.map(({ length }) => length),
        [38, 38, 38, 38],
      );
      const check = (where: string, said: unknown): void => {
        const text = (JSON.stringify(said) ?? "").replaceAll("\\n", "");
        assert.ok(!text.includes("PRIVATE KEY"), `${kind} ${where}`);
        for (const key of keys) assert.ok(!text.includes(key), `${kind} ${where}`);
      };
      for (const name of Object.keys(policy) as Name[])
        check(name, await attempt(c, identity(kind), name, input[name]));
      check("events", c.events);
      check("log", c.log.lines);
      const secrets = await attempt(c, identity(kind), "authorities.list", { secrets: true });
      assert.equal(
        JSON.stringify(secrets).includes("PRIVATE KEY"),
        kind === "Admin" || kind === "Auth",
        kind,
      );
    }
  });

  test("nor are passwords, seeds, or the hashes of them", async () => {
    const { c, identity, input } = await full();
    await using _ = c;
    const record = await c.auth.parts.store.passwords.get("joe");
    for (const name of Object.keys(policy) as Name[]) {
      const answer = JSON.stringify(await attempt(c, identity("Admin"), name, input[name])) ?? "";
      for (const secret of [record.hash, record.salt, "correct horse", "argon2"])
        assert.ok(!answer.includes(secret), `${name} ${secret}`);
    }
  });
});

suite("recordings and events of members", () => {
  test("S31: a member brings no recording of another host", async () => {
    await using c = await cluster();
    const line = (server_id: string): string =>
      JSON.stringify({ event: "session.leave", code: "T2003I", sid, server_id, user: "joe", login: "root" });
    for (const [id, good] of [
      [hostId, true],
      [otherId, false],
    ] as const) {
      const member = c.as(system("Node", id));
      const body = async function* () {
        yield Buffer.from(`${line(hostId)}\n`);
      };
      await member["recordings.upload"]({ sid, file: "log", offset: 0 }, body());
      const finish = member["recordings.finish"]({ sid, sha256: { bytes: "", log: "" } });
      if (good) await finish;
      else await assert.rejects(finish, (err) => Fault.is(err, "access_denied"));
    }
  });
});
