import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import fc from "fast-check";
import type { AuthClient } from "#authclient";
import { Connector, Node, ProxyServer, Role, User } from "#model";
import { type Cluster, cluster, hostId, otherId } from "../src/auth/testing/cluster.ts";
import { programWith } from "../src/cli/tctl/program.ts";
import { runLine } from "../src/cli/testing.ts";

/** Runs `tctl …` as its administrator against an auth service in memory. */
function tctlOf(c: Cluster) {
  const program = programWith(async () => Object.assign(c.admin, { close() {} }) as unknown as AuthClient);
  return (line: string | readonly string[], input = "") =>
    runLine(program, typeof line === "string" ? line.split(" ") : line, { input });
}
type Tctl = ReturnType<typeof tctlOf>;

async function must(tctl: Tctl, line: string | readonly string[], input?: string): Promise<string> {
  const { code, out, err } = await tctl(line, input);
  assert.equal(code, 0, `${line}: ${err}`);
  return out;
}

const github = (name: string, spec: object = {}) =>
  Connector.parse({
    kind: "github",
    version: "v3",
    metadata: { name },
    spec: {
      client_id: "id",
      client_secret: "planted-github",
      redirect_url: "https://proxy.example.com/v1/webapi/github/callback",
      teams_to_logins: [{ organization: "octo", team: "admins", logins: ["root", "joe"] }],
      ...spec,
    },
  });
const oidc = (name: string) =>
  Connector.parse({
    kind: "oidc",
    version: "v2",
    metadata: { name },
    spec: {
      issuer_url: "https://login.example.com",
      client_id: "id",
      client_secret: "planted-oidc",
      redirect_url: "https://proxy.example.com/v1/webapi/oidc/callback",
      claims_to_roles: [{ claim: "group", value: "ops", roles: ["admin"] }],
    },
  });
const saml = (name: string) =>
  Connector.parse({
    kind: "saml",
    version: "v2",
    metadata: { name },
    spec: {
      acs: "https://proxy.example.com/v1/webapi/saml/acs",
      sso: "https://idp.example.com/sso",
      signing_key_pair: { cert: "the certificate", private_key: "planted-saml" },
      attributes_to_roles: [{ name: "groups", value: "*", roles: ["admin"] }],
    },
  });

/** A cluster with something of every kind. */
async function full(): Promise<{ c: Cluster; tctl: Tctl }> {
  const c = await cluster();
  const { store } = c.auth.parts;
  const spec = { allow: { logins: ["{{internal.logins}}"], node_labels: { env: ["prod", "test"] } } };
  const metadata = { name: "dev", labels: { b: "2", a: "1" }, expires: "2099-01-01T00:00:00Z" };
  await store.roles.create(Role.parse({ kind: "role", version: "v3", metadata, spec }));
  await c.addUser("joe", { roles: ["dev"], traits: { logins: ["root", "on", "012"] } });
  for (const connector of [github("corp"), oidc("okta"), saml("okta")])
    await c.admin["connectors.put"]({ connector });
  const machine = {
    version: "v2",
    metadata: { name: hostId },
    spec: { hostname: "db", addr: "10.0.0.1:3022" },
  };
  await c.node["nodes.announce"](Node.parse({ kind: "node", ...machine }));
  await c.proxy["proxies.announce"](ProxyServer.parse({ kind: "proxy", ...machine }));
  await store.authServers.put({ kind: "auth_server", ...machine, version: "v2" });
  return { c, tctl: tctlOf(c) };
}

suite("ACC-92: every kind of the guide's table, in singular and plural", () => {
  for (const [words, name, header] of [
    [["user", "users", "USERS"], "joe", /^User$/],
    [["node", "nodes"], hostId, /^Node Name +Node ID +Address +Labels$/],
    [["role", "roles"], "dev", /^Role +Allowed to login as +Node Labels +Access to resources$/],
    [["connector", "connectors"], "corp", /^Type +Name +Mapping$/],
    [["github"], "corp", /^Name +Teams To Logins$/],
    [["oidc"], "okta", /^Name +Issuer URL +Claims To Roles$/],
    [["saml"], "okta", /^Name +SSO URL +Attributes To Roles$/],
    [
      ["cert_authority", "cert_authorities", "cas", "ca"],
      "main",
      /^Cluster Name +CA Type +Fingerprint +Role Map$/,
    ],
    [["proxy", "proxies"], "db", /^Name +ID +Address$/],
    [["auth_server", "auth_servers", "auth"], "db", /^Name +ID +Address$/],
    [["namespace", "namespaces", "ns"], "default", /^Name$/],
    [["token", "tokens"], "static/token", /^Token +Type +Expiry Time \(UTC\)$/],
    [["cluster_auth_preference", "cap"], "cluster-auth-preference", /^Setting +Value$/],
    [["cluster_config"], "cluster-config", /^Setting +Value$/],
  ] as const) {
    test(words.join(", "), async () => {
      const { c, tctl } = await full();
      await using _ = c;
      for (const word of words) {
        const all = JSON.parse(await must(tctl, `get ${word} --format=json`)) as {
          metadata: { name: string };
        }[];
        assert.ok(all.length > 0, word);
        const one = JSON.parse(await must(tctl, `get ${word}/${name} --format=json`)) as unknown[];
        assert.deepEqual(JSON.parse(await must(tctl, `get ${word} ${name} --format=json`)), one);
        assert.ok(one.length > 0 && one.length <= all.length);
        const [head = ""] = (await must(tctl, `get ${word} --format=text`)).split("\n");
        assert.match(head, header);
        assert.match(await must(tctl, `get ${word}`), /^kind: \w+$/m);
        const none = await tctl(`get ${word}/nobody`);
        assert.deepEqual([none.code, none.out], [1, ""]);
        assert.match(none.err, /^error: \w+ nobody not found\n$/);
      }
    });
  }
  for (const [words, header] of [
    [
      ["trusted_cluster", "trusted_clusters", "tc", "cluster", "clusters"],
      /^Name +Enabled +Token +Proxy Address +Reverse Tunnel Address +Role Map\n/,
    ],
    [["remote_cluster", "remote_clusters", "rc", "rcs"], /^Name +Status +Last Heartbeat\n/],
  ] as const) {
    test(`${words.join(", ")}: there are none`, async () => {
      await using c = await cluster();
      const tctl = tctlOf(c);
      for (const word of words) {
        assert.match(await must(tctl, `get ${word} --format=text`), header);
        assert.equal(await must(tctl, `get ${word}`), "");
        assert.equal(await must(tctl, `get ${word} --format=json`), "[]\n");
        for (const verb of ["get", "rm"]) {
          const { code, err } = await tctl(`${verb} ${word}/east`);
          assert.deepEqual([code, err], [1, `error: ${words[0]} east not found\n`]);
        }
      }
    });
  }
  test("reverse_tunnel, reverse_tunnels, rts: there are none, and none is made or deleted (RES-12)", async () => {
    await using c = await cluster();
    const tctl = tctlOf(c);
    for (const word of ["reverse_tunnel", "reverse_tunnels", "rt", "rts"]) {
      assert.match(await must(tctl, `get ${word} --format=text`), /^Cluster Name +Dial Addresses\n/);
      assert.equal(await must(tctl, `get ${word}`), "");
      const { code, err } = await tctl(`rm ${word}/east`);
      const not = 'deleting resources of type "reverse_tunnel" is not supported';
      assert.deepEqual([code, err], [2, `error: ${not}; this version has no tunnels between clusters\n`]);
    }
  });
  for (const [kind, why] of [
    ["reverse_tunnel", "this version has no tunnels between clusters"],
    [
      "remote_cluster",
      "it is there once the other cluster has made this one its trusted_cluster, with a token of tctl tokens add --type=trusted_cluster",
    ],
  ] as const) {
    test(`a ${kind} in a file is refused at its place, and what stands beside it with it`, async () => {
      await using c = await cluster();
      const file = `{kind: user, version: v2, metadata: {name: joe}, spec: {}}\n---\nkind: ${kind}\nversion: v2\nmetadata: {name: main}\n`;
      const { code, err } = await tctlOf(c)("create", file);
      const not = `creating resources of type "${kind}" is not supported`;
      assert.deepEqual([code, err], [2, `error: standard input (document 2):3:7: ${not}; ${why}\n`]);
      assert.deepEqual(await c.admin["users.list"]({}), []);
    });
  }
});

suite("connectors of any kind (DEC-10)", () => {
  test("rm of a name that several have tells how to name one; each kind has its own sentence (RES-06)", async () => {
    const { c, tctl } = await full();
    await using _ = c;
    const { code, err } = await tctl("rm connectors/okta");
    assert.deepEqual(
      [code, err],
      [
        2,
        'error: several are called "okta"; name one by its id: connectors/oidc/okta, connectors/saml/okta\n',
      ],
    );
    assert.equal(await must(tctl, "rm connectors/saml/okta"), "SAML connector okta has been deleted\n");
    assert.equal(await must(tctl, "rm connector/okta"), "OIDC connector okta has been deleted\n");
    assert.equal(await must(tctl, "del github/corp"), 'github connector "corp" has been deleted\n');
    assert.equal(await must(tctl, "get connectors"), "");
  });
});

suite("round trips (RES-08)", () => {
  for (const kind of ["users", "roles", "connectors", "cas"]) {
    for (const [flags, create] of [
      ["", "create -f"],
      [" --format=json", "create -f -"],
      [" --with-secrets", "create --force"],
    ] as const) {
      test(`get ${kind}${flags}, ${create}, get: the same, and no secret is lost`, async () => {
        const { c, tctl } = await full();
        await using _ = c;
        const whole = () => must(tctl, `get ${kind} --with-secrets`);
        const before = await whole();
        const printed = await must(tctl, `get ${kind}${flags}`);
        const said = await must(tctl, create, printed);
        assert.match(said, /^(\S+( \S+)* has been updated\n)+$/);
        assert.equal(await whole(), before);
        assert.equal(await must(tctl, `get ${kind}${flags}`), printed);
      });
    }
  }
  test("users, roles and connectors come back after they were deleted", async () => {
    const { c, tctl } = await full();
    await using _ = c;
    const all = async () =>
      [
        await must(tctl, "get roles"),
        await must(tctl, "get users"),
        await must(tctl, "get connectors --with-secrets"),
      ].join("---\n");
    const before = await all();
    for (const one of ["user/joe", "role/dev", "github/corp", "oidc/okta", "saml/okta"])
      await must(tctl, `rm ${one}`);
    await must(tctl, "create -f", before);
    assert.equal(await all(), before);
  });
  const word = fc.oneof(
    fc.constantFrom(
      ...[
        "yes",
        "null",
        "~",
        "012",
        "1.0",
        "- a",
        "a: b",
        "#",
        "{x}",
        "*a",
        "2001-01-01",
        " a ",
        "ü\u202e",
        "\r\n",
      ],
    ),
    fc.string({ unit: "grapheme", maxLength: 8 }).filter((text) => text.isWellFormed()),
  );
  const key = word.filter((text) => text !== "__proto__");
  const metadata = fc.record({
    name: fc.constant("x"),
    labels: fc.dictionary(key, word),
    description: word,
  });
  const anyUser = fc
    .record({ metadata, traits: fc.dictionary(key, fc.array(word)) })
    .map(({ metadata, traits }) => User.parse({ kind: "user", version: "v2", metadata, spec: { traits } }));
  const anyRole = fc
    .record({ metadata, groups: fc.array(word.filter((text) => !/[{}]/.test(text))) })
    .map(({ metadata, groups }) =>
      Role.parse({
        kind: "role",
        version: "v3",
        metadata,
        spec: { allow: { kubernetes_groups: groups }, options: { forward_agent: true } },
      }),
    );
  const some = word.filter((text) => text !== "");
  const anyConnector = fc
    .record({ metadata, display: word, secret: some, organization: some, team: some, logins: fc.array(word) })
    .map(({ metadata, display, secret, ...team }) => {
      const found = github("x", { display, client_secret: secret, teams_to_logins: [team] });
      return Connector.parse({ ...found, metadata });
    });
  test("whatever stands in names, labels and lists", async () => {
    await using c = await cluster();
    const tctl = tctlOf(c);
    const format = fc.constantFrom("yaml", "json");
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyUser, anyRole, anyConnector), format, async (resource, format) => {
        if (resource.kind === "user") await c.admin["users.put"]({ user: resource, force: true });
        else if (resource.kind === "role") await c.admin["roles.put"]({ role: resource, force: true });
        else await c.admin["connectors.put"]({ connector: resource, force: true });
        const get = `get ${resource.kind}/x --format=${format} --with-secrets`;
        const printed = await must(tctl, get);
        await must(tctl, `rm ${resource.kind}/x`);
        await must(tctl, "create", printed);
        assert.equal(await must(tctl, get), printed);
        const { users, roles, connectors } = c.auth.parts.store;
        const again =
          resource.kind === "user"
            ? await users.get("x")
            : resource.kind === "role"
              ? await roles.get("x")
              : await connectors.get("github/x");
        if (again.kind === "user" && resource.kind === "user")
          assert.deepEqual([again.metadata, again.spec.traits], [resource.metadata, resource.spec.traits]);
        else assert.deepEqual(again, resource);
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 60) },
    );
  });
  test("a file of another system: with a byte order mark and its ends of lines", async () => {
    await using c = await cluster();
    const text = "\ufeffkind: user\r\nversion: v2\r\nmetadata:\r\n  name: joe\r\nspec: {}\r\n";
    assert.equal(await must(tctlOf(c), "create", text), "user 'joe' has been created\n");
  });
});

suite("S72: secrets of resources", () => {
  test("are printed by --with-secrets only, and never logged", async () => {
    const { c, tctl } = await full();
    await using _ = c;
    const secret = /planted-|PRIVATE KEY/;
    for (const kind of [
      "connectors",
      "github",
      "oidc",
      "saml",
      "cas",
      "users",
      "tokens",
      "cap",
      "cluster_config",
    ])
      for (const format of ["yaml", "json", "text"])
        assert.doesNotMatch(await must(tctl, `get ${kind} --format=${format}`), secret, kind);
    const ownSecrets = async (kind: string) =>
      (await must(tctl, `get ${kind} --with-secrets`)).match(/planted-\w+|BEGIN \w* ?PRIVATE KEY/g)?.length;
    assert.equal(await ownSecrets("connectors"), 3);
    assert.equal(await ownSecrets("cas"), 4);
    assert.doesNotMatch(JSON.stringify([c.events, c.log]), secret);
  });
  for (const [what, text] of [
    ["a connector", "kind: github\nversion: v3\nmetadata: {name: x}\nspec: {client_secret: [planted-1]}"],
    [
      "an authority",
      "kind: cert_authority\nversion: v2\nmetadata: {name: main}\nspec: {type: host, cluster_name: main, checking_keys: [planted-2], signing_keys: [planted-3], tls_key_pairs: [{cert: c, key: planted-4}]}",
    ],
    ["no YAML", "kind: github\nspec: {client_secret: 'planted-5"],
  ] as const) {
    test(`are in no complaint about ${what}`, async () => {
      await using c = await cluster();
      const { code, err } = await tctlOf(c)("create -f", text);
      assert.equal(code, 2);
      assert.doesNotMatch(err, /planted/);
    });
  }
});

suite("tctl create", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tctl-"));
  });
  after(() => rmSync(folder, { recursive: true }));
  const joe = "kind: user\nversion: v2\nmetadata: {name: joe}\nspec: {roles: [admin]}\n";
  const dev = "kind: role\nversion: v3\nmetadata: {name: dev}\nspec: {allow: {logins: [root]}}\n";

  test("each kind has its sentence (RES-06)", async () => {
    await using c = await cluster();
    const tctl = tctlOf(c);
    const corp = JSON.stringify(github("corp"));
    const file = `${joe}---\n${dev}---\n${corp}`;
    const said = (done: string): string =>
      `user 'joe' has been ${done}\nrole 'dev' has been ${done}\nauthentication connector "corp" has been ${done}\n`;
    assert.equal(await must(tctl, "create", file), said("created"));
    assert.equal(await must(tctl, "create -f", file), said("updated"));
    const { code, err } = await tctl("create", corp);
    assert.deepEqual([code, err], [1, "error: authentication connector 'corp' already exists\n"]);
  });
  test("without -f, of a file nothing is made when some of it is there", async () => {
    await using c = await cluster();
    await c.addUser("joe");
    const { code, err } = await tctlOf(c)("create", `${dev}---\n${joe}`);
    assert.deepEqual(
      [code, err],
      [
        1,
        "error: user/joe already exists, so nothing of the file was created; -f overwrites what is there\n",
      ],
    );
    assert.deepEqual(
      (await c.admin["roles.list"]({})).map(({ metadata }) => metadata.name),
      ["admin"],
    );
  });
  for (const [what, text, complaint] of [
    [
      "a role whose condition makes no sense",
      `${joe}---\n${dev.replace("logins: [root]", "rules: [{resources: [dog], verbs: [list]}]")}`,
      /^error: standard input \(document 2\):9:24: role "dev", allow\.rules\[0\]: there is no resource "dog"; use /,
    ],
    [
      "a label of a role that no pattern is",
      dev.replace("logins: [root]", 'node_labels: {"a b": ok, "[]": "^($"}'),
      /^error: standard input:4:47: role "dev", allow\.node_labels\["\[\]"\]: /,
    ],
    [
      "one resource at two places",
      `${joe}---\n${joe}`,
      "error: standard input (document 2):6:1: user/joe is there twice, first at standard input (document 1):1:1\n",
    ],
    [
      "a plural for a kind",
      joe.replace("user", "users"),
      'error: standard input:1:7: creating resources of type "users" is not supported; write kind: user\n',
    ],
    [
      "a token",
      "kind: token",
      'error: standard input:1:7: creating resources of type "token" is not supported; tctl tokens add makes one\n',
    ],
    [
      "a kind that there is none of",
      "kind: dog",
      /creating resources of type "dog" is not supported; use one of user, role, github, oidc, saml, trusted_cluster, cert_authority\n$/,
    ],
    ["bytes that are no text", Buffer.from("kind: \xff", "latin1").toString("latin1"), /1:\d+: /],
  ] as const) {
    test(`refuses ${what} before anything is sent`, async () => {
      await using c = await cluster();
      const { code, err } = await tctlOf(c)("create", text);
      assert.equal(code, 2, err);
      if (typeof complaint === "string") assert.equal(err, complaint);
      else assert.match(err, complaint);
      assert.deepEqual(await c.admin["users.list"]({}), []);
    });
  }
  test("S61: no file without an end is read to it, and no bytes that are no text", async () => {
    await using c = await cluster();
    const path = join(folder, "large.yaml");
    writeFileSync(path, Buffer.alloc((16 << 20) + 1, "#"));
    for (const each of [path, "/dev/zero"]) {
      const { code, err } = await tctlOf(c)(["create", each]);
      assert.deepEqual([code, err], [2, `error: ${each} is larger than 16 MiB\n`]);
    }
    const long = await tctlOf(c)("create", "#".repeat((16 << 20) + 1));
    assert.deepEqual([long.code, long.err], [2, "error: standard input is longer than 16 MiB\n"]);
    writeFileSync(path, Buffer.from([0x6b, 0x0a, 0xff]));
    const { code, err } = await tctlOf(c)(["create", path]);
    assert.deepEqual(
      [code, err],
      [2, `error: ${path}:2:1: this line is not UTF-8 text; save the file as UTF-8\n`],
    );
    assert.match((await tctlOf(c)(["create", folder])).err, /is a folder; tctl apply -f takes folders/);
  });
  test("AUTH-63: logins that are all names of roles are warned of", async () => {
    await using c = await cluster();
    const warned = async (logins: string[]) => {
      const spec = { teams_to_logins: [{ organization: "o", team: "t", logins }] };
      const { code, err } = await tctlOf(c)("create -f", JSON.stringify(github("corp", spec)));
      assert.equal(code, 0);
      return err;
    };
    assert.match(
      await warned(["admin"]),
      /^WARNING: every login of the connector "corp" is also the name of a role/,
    );
    assert.equal(await warned(["admin", "root"]), "");
    assert.equal(await warned([]), "");
  });
  test("authorities are sent last and together, and what to do then is said", async () => {
    await using old = await cluster();
    await using c = await cluster();
    const backup = await must(tctlOf(old), "get cas --with-secrets");
    const tctl = tctlOf(c);
    const first = await tctl("create", backup);
    assert.equal(first.code, 1);
    assert.match(first.err, /cert_authority\/host\/main, cert_authority\/user\/main already exist/);
    const { code, out, err } = await tctl("create -f", `${backup}---\n${dev}`);
    assert.equal(code, 0, err);
    assert.equal(
      out,
      "role 'dev' has been created\ncertificate authority 'host/main' has been updated\ncertificate authority 'user/main' has been updated\n",
    );
    assert.match(err, /^Restart every auth server now/);
    assert.equal(await must(tctl, "get cas --with-secrets"), backup);
  });
});

test("what can neither be made nor removed says what to do instead", async () => {
  const { c, tctl } = await full();
  await using _ = c;
  for (const [line, said] of [
    ["rm proxy/db", /"proxy" is not supported; it leaves the list by itself/],
    ["rm ns/default", /"namespace" is not supported; there is always the one/],
    ["rm cap/cluster-auth-preference", /is not supported; change the file of the auth server/],
    [`edit node/${otherId}`, /editing resources of type "node" is not supported; tctl rm it/],
    ["edit cas/host/main", /editing resources of type "cert_authority" is not supported/],
    ["edit user", /provide a full resource name to edit, for example: tctl edit user\/joe/],
    ["get usr", /unsupported resource: "usr" - .*; did you mean user\?/],
    ["get user/a b", /name one resource at a time/],
  ] as const) {
    const { code, err } = await tctl(line);
    assert.equal(code, 2, err);
    assert.match(err, said);
  }
});
