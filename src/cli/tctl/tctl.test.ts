import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { Fault, notFound } from "#core/errors";
import { CertAuthority, Node, ProxyServer, Role, Token, User } from "#model";
import { runLine } from "../testing.ts";
import { connectAdmin } from "./connect.ts";
import { programWith } from "./program.ts";

type Calls = Partial<Client<AuthContract>>;

/** Runs `tctl …` against an auth service that answers `calls`; tells also what was sent, and how often it was closed. */
async function tctl(line: string | readonly string[], calls: Calls = {}, input = "") {
  const sent: [string, unknown][] = [];
  let open = 0;
  const auth = new Proxy(calls, {
    get(_, name: string) {
      if (name === "then") return undefined;
      if (name === "close") return () => open--;
      const answer = calls[name as keyof Calls] as ((input: unknown) => unknown) | undefined;
      return async (given: unknown) => {
        sent.push([name, given]);
        if (!answer) throw new Fault("internal", `the test has no answer to ${name}`);
        return answer(given);
      };
    },
  }) as unknown as AuthClient;
  const program = programWith(async () => {
    open++;
    return auth;
  });
  const got = await runLine(program, typeof line === "string" ? line.split(" ") : line, { input });
  assert.equal(open, 0, "the connection is closed");
  return { ...got, sent };
}

const joe = User.parse({
  kind: "user",
  version: "v2",
  metadata: { name: "joe" },
  spec: {
    roles: ["admin"],
    traits: { logins: ["joe", "root"] },
    created_by: { user: { name: "builtin-Admin" } },
  },
});
const ann = User.parse({ kind: "user", version: "v2", metadata: { name: "ann" }, spec: {} });
const nodeOf = (name: string, hostname: string, more: object = {}) =>
  Node.parse({
    kind: "node",
    version: "v2",
    metadata: { name, labels: { role: "db", env: "prod" } },
    spec: { hostname, addr: "10.0.0.1:3022", ...more },
  });
const tokenOf = (name: string, roles: string[], expires?: string) =>
  Token.parse({
    kind: "token",
    version: "v2",
    metadata: { name, ...(expires && { expires }) },
    spec: { roles },
  });
const dev = Role.parse({
  kind: "role",
  version: "v3",
  metadata: { name: "dev" },
  spec: {
    allow: {
      logins: ["a", "b"],
      node_labels: { env: ["x", "y"] },
      rules: [{ resources: ["user"], verbs: ["list"] }],
    },
  },
});
const ssh = (n: number): string => `ssh-ed25519 ${Buffer.from(`key ${n}`).toString("base64")}`;
const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString("base64")}\n-----END CERTIFICATE-----\n`;
const caOf = (type: "user" | "host", cluster: string, more: object = {}) =>
  CertAuthority.parse({
    kind: "cert_authority",
    version: "v2",
    metadata: { name: cluster },
    spec: {
      type,
      cluster_name: cluster,
      checking_keys: [`${ssh(1)} comment`],
      tls_key_pairs: [{ cert: pem("cert 1") }],
      ...more,
    },
  });
const status =
  (more: object = {}) =>
  async () => ({
    cluster_name: "main",
    server_version: "5.0.0",
    cas: [caOf("user", "main"), caOf("host", "main")],
    ca_pins: [`sha256:${"ab".repeat(32)}`],
    ...more,
  });

suite("tctl users", () => {
  const invited: Calls = {
    "signups.create": async () => ({
      token: "abc",
      expires: Date.UTC(2026, 0, 1),
      url: "https://proxy.example.com:3080/web/newuser/abc",
    }),
  };
  test("add prints where to sign up (TCT-40)", async () => {
    const { out, code, sent } = await tctl("users add joe", invited);
    assert.equal(code, 0);
    assert.equal(
      out,
      "Signup token has been created and is valid for 1 hours. Share this URL with the user:\nhttps://proxy.example.com:3080/web/newuser/abc\n\nNOTE: Make sure proxy.example.com:3080 points at a Teleport proxy which users can access.\n",
    );
    assert.deepEqual(sent, [
      ["signups.create", { user: "joe", traits: { logins: ["joe"] }, ttl: 3_600_000 }],
    ]);
  });
  test("add takes logins, roles, groups and a time", async () => {
    const { out, sent } = await tctl(
      "users add joe root,joe --roles=dev,ops --k8s-groups=system:masters --ttl=5h",
      invited,
    );
    assert.match(out, /valid for 5 hours\./);
    assert.deepEqual(sent[0]?.[1], {
      user: "joe",
      roles: ["dev", "ops"],
      traits: { logins: ["root", "joe"], kubernetes_groups: ["system:masters"] },
      ttl: 18_000_000,
    });
  });
  test("add for programs", async () => {
    const { out } = await tctl("users add joe --format=json", invited);
    assert.deepEqual(JSON.parse(out), {
      user: "joe",
      url: "https://proxy.example.com:3080/web/newuser/abc",
      token: "abc",
      expires: "2026-01-01T00:00:00.000Z",
    });
  });
  test("add of one who is there fails with the service's words", async () => {
    const taken = async () => Promise.reject(new Fault("already_exists", "user 'joe' already exists"));
    const { code, out, err } = await tctl("users add joe", { "signups.create": taken });
    assert.deepEqual([code, out, err], [1, "", "error: user 'joe' already exists\n"]);
  });
  test("ls", async () => {
    const { out } = await tctl("users ls", { "users.list": async () => [joe, ann] });
    assert.equal(out, "User Allowed logins\n---- --------------\nann\njoe  joe,root\n");
    assert.equal((await tctl("users ls", { "users.list": async () => [] })).out, "No users found\n");
    const json = await tctl("users ls --format=json", { "users.list": async () => [joe, ann] });
    assert.deepEqual(JSON.parse(json.out), [ann, joe]);
  });
  for (const word of ["rm", "del"]) {
    test(`${word} takes several`, async () => {
      const { out, sent } = await tctl(`users ${word} a,b`, { "users.delete": async () => {} });
      assert.equal(out, "User 'a' has been deleted\nUser 'b' has been deleted\n");
      assert.deepEqual(
        sent.map(([, given]) => given),
        [{ name: "a" }, { name: "b" }],
      );
    });
  }
  test("rm goes on after one that is not there, says so, and fails", async () => {
    const { out, err, code, sent } = await tctl("users rm a,b,c", {
      "users.delete": async ({ name }) => {
        if (name !== "b") return;
        throw notFound("user", name);
      },
    });
    assert.deepEqual(
      [out, err, code, sent.length],
      ["User 'a' has been deleted\nUser 'c' has been deleted\n", 'error: user "b" is not found\n', 1, 3],
    );
    const both = await tctl("users rm a,b", {
      "users.delete": async ({ name }) => Promise.reject(notFound("user", name)),
    });
    assert.deepEqual(
      [both.err, both.code],
      ['error: user "a" is not found\nerror: user "b" is not found\n', 1],
    );
    const away = await tctl("users rm a,b", {
      "users.delete": async () => Promise.reject(new Fault("unreachable", "away")),
    });
    assert.deepEqual([away.err, away.code, away.sent.length], ["error: away\n", 1, 1]);
    assert.equal((await tctl("users rm ,")).code, 2);
  });
  for (const [flags, change] of [
    ["--set-roles=dev", { roles: ["dev"], traits: {} }],
    ["--set-logins=root,joe", { traits: { logins: ["root", "joe"] } }],
    ["--set-logins=", { traits: { logins: [] } }],
    [
      "--set-roles=dev,ops --set-k8s-groups=system:masters",
      { roles: ["dev", "ops"], traits: { kubernetes_groups: ["system:masters"] } },
    ],
  ] as const) {
    test(`update ${flags} (TCT-42)`, async () => {
      const { out, sent } = await tctl(`users update joe ${flags}`, { "users.change": async () => {} });
      assert.equal(out, "User 'joe' has been updated\n");
      assert.deepEqual(sent, [["users.change", { name: "joe", ...change }]]);
    });
  }
  for (const flags of ["", " --set-roles="]) {
    test(`update${flags} says what is missing`, async () => {
      const { code, sent } = await tctl(`users update joe${flags}`);
      assert.deepEqual([code, sent], [2, []]);
    });
  }
  test("reset prints where to choose a new password", async () => {
    const reset: Calls = {
      "users.reset": async () => ({
        token: "abc",
        expires: Date.UTC(2026, 0, 1),
        url: "https://proxy.example.com:3080/web/reset/abc",
      }),
    };
    const { out, sent } = await tctl("users reset joe --ttl=90m", reset);
    assert.deepEqual(sent, [["users.reset", { name: "joe", ttl: 5_400_000 }]]);
    assert.equal(
      out,
      "Password, second factor and web sessions of 'joe' are void. New ones can be chosen for 1.5 hours. Share this URL with the user:\nhttps://proxy.example.com:3080/web/reset/abc\n\nNOTE: Make sure proxy.example.com:3080 points at a Teleport proxy which users can access.\n",
    );
    assert.deepEqual(JSON.parse((await tctl("users reset joe --format=json", reset)).out), {
      user: "joe",
      url: "https://proxy.example.com:3080/web/reset/abc",
      token: "abc",
      expires: "2026-01-01T00:00:00.000Z",
    });
  });
  for (const [line, said, call] of [
    ["lock joe", "User 'joe' has been locked\n", ["users.lock", { name: "joe" }]],
    [
      "lock joe --message=gone",
      "User 'joe' has been locked\n",
      ["users.lock", { name: "joe", message: "gone" }],
    ],
    ["unlock joe", "User 'joe' has been unlocked\n", ["users.unlock", { name: "joe" }]],
    [
      "unlock --source=192.0.2.1",
      "Logins from '192.0.2.1' have been unlocked\n",
      ["sources.unlock", { source: "192.0.2.1" }],
    ],
  ] as const) {
    test(`tctl users ${line}`, async () => {
      const done = async () => {};
      const { out, sent } = await tctl(`users ${line}`, {
        "users.lock": done,
        "users.unlock": done,
        "sources.unlock": done,
      });
      assert.deepEqual([out, sent], [said, [call]]);
    });
  }
  for (const line of ["users unlock", "users unlock joe --source=192.0.2.1"])
    test(`tctl ${line} is wrong usage`, async () => assert.equal((await tctl(line)).code, 2));
  test("locks lists accounts and addresses", async () => {
    const until = "2026-01-01T00:20:00.000Z";
    const calls: Calls = {
      "locks.list": async () => [
        { kind: "user", name: "ann", message: "on leave" },
        { kind: "source", name: "192.0.2.1/32", until },
      ],
    };
    assert.equal(
      (await tctl("users locks", calls)).out,
      [
        "Locked       Type    Until                       Reason",
        "------------ ------- --------------------------- --------",
        "ann          User    an administrator unlocks it on leave",
        `192.0.2.1/32 Address ${until}`,
        "",
      ].join("\n"),
    );
    assert.deepEqual(
      JSON.parse((await tctl("users locks --format=json", calls)).out),
      await calls["locks.list"]?.({}),
    );
    assert.equal((await tctl("users locks", { "locks.list": async () => [] })).out, "Nothing is locked\n");
  });
  test("S66: names cannot drive the terminal", async () => {
    const evil = { ...joe, spec: { ...joe.spec, traits: { logins: ["\u001b]0;x\u0007root"] } } };
    assert.match((await tctl("users ls", { "users.list": async () => [evil] })).out, /^joe {2}root$/m);
  });
});

suite("tctl nodes and tokens", () => {
  const made = (name: string): Calls => ({
    "tokens.create": async ({ roles, value }) => tokenOf(value ?? name, roles, "2026-01-01T00:30:00Z"),
    "cluster.status": status(),
    "auth_servers.list": async () => [
      {
        kind: "auth_server",
        version: "v2",
        metadata: { name: "u" },
        spec: { hostname: "a", addr: "10.0.10.5:3025" },
      },
    ],
  });
  test("nodes add prints the token first, then how to use it (TCT-10)", async () => {
    const { out, sent } = await tctl("nodes add", made("f00"));
    assert.match(out, /^The invite token: f00\nThis token will expire in 30 minutes\n/);
    assert.ok(
      out.includes(
        `> teleport start \\\n   --roles=node \\\n   --token=f00 \\\n   --ca-pin=sha256:${"ab".repeat(32)} \\\n   --auth-server=10.0.10.5:3025\n`,
      ),
      out,
    );
    assert.deepEqual(sent[0], ["tokens.create", { roles: ["node"], ttl: 1_800_000 }]);
  });
  test("nodes add as in the admin guide", async () => {
    const { out, sent } = await tctl("nodes add --ttl=5m --roles=node,proxy --token=secret-value", made("x"));
    assert.match(out, /^The invite token: secret-value\nThis token will expire in 5 minutes\n/);
    assert.match(out, /--roles=node,proxy/);
    assert.deepEqual(sent[0]?.[1], { roles: ["node", "proxy"], ttl: 300_000, value: "secret-value" });
  });
  test("S51: what stands in a printed command is quoted for the shell", async () => {
    const { out } = await tctl(["nodes", "add", "--token=$(reboot)' ;x"], made("x"));
    assert.match(out, /^The invite token: \$\(reboot\)' ;x\n/);
    assert.ok(out.includes(`   '--token=$(reboot)'\\'' ;x' \\\n`), out);
  });
  for (const [line, uses, said] of [
    ["nodes add --uses=1", 1, /The token works once until it expires in 30 minutes/],
    ["tokens add --type=node --uses=3", 3, /The token works 3 times until it expires in 60 minutes/],
  ] as const) {
    test(`${line} counts those that it lets in`, async () => {
      const { out, sent } = await tctl(line, made("x"));
      assert.partialDeepStrictEqual(sent[0]?.[1], { uses });
      assert.match(out, said);
    });
  }
  test("an empty token, and one for nobody, are refused before anything is made", async () => {
    for (const line of [
      ["nodes", "add", "--token="],
      ["tokens", "add", "--type=node", "--value="],
    ])
      assert.match((await tctl(line, made("x"))).err, /^error: a token may not be empty/);
    const { code, sent } = await tctl("nodes add --uses=0", made("x"));
    assert.deepEqual([code, sent], [2, []]);
  });
  test("nodes add for programs", async () => {
    assert.deepEqual(JSON.parse((await tctl("nodes add --format=json", made("f00"))).out), ["f00"]);
  });
  test("without a known address the command says what to put there", async () => {
    const { out } = await tctl("nodes add", { ...made("f00"), "auth_servers.list": async () => [] });
    assert.match(out, /--auth-server=AUTH_SERVER:3025\n[\s\S]*AUTH_SERVER stands for/);
  });
  for (const line of ["nodes add --roles=king", "tokens add --type=king"]) {
    test(`${line} is refused before anything is made`, async () => {
      const { code, err, sent } = await tctl(line, made("x"));
      assert.deepEqual([code, sent], [2, []]);
      assert.match(err, /^error: role "king" is not registered; use node, proxy, auth, trusted_cluster\n$/);
    });
  }
  test("tokens add for another cluster (TCT-32)", async () => {
    const { out, sent } = await tctl("tokens add --type=trusted_cluster", made("f00"));
    assert.match(out, /^The cluster invite token: f00\nThis token will expire in 60 minutes\n/);
    assert.doesNotMatch(out, /teleport start/);
    assert.deepEqual(sent, [["tokens.create", { roles: ["trusted_cluster"], ttl: 3_600_000 }]]);
  });
  test("tokens add for a host is as nodes add", async () => {
    const { out, sent } = await tctl("tokens add --type=proxy --value=v --ttl=2h", made("x"));
    assert.match(out, /^The invite token: v\nThis token will expire in 120 minutes\n[\s\S]*--roles=proxy/);
    assert.deepEqual(sent[0]?.[1], { roles: ["proxy"], ttl: 7_200_000, value: "v" });
    assert.equal((await tctl("tokens add")).code, 2);
  });
  test("tokens ls: static first, then as they expire (TCT-30)", async () => {
    const list = async () => [
      tokenOf("late", ["node", "proxy"], "2026-11-22T10:09:00Z"),
      tokenOf("soon", ["signup"], "2026-11-22T09:29:00Z"),
      tokenOf("stat", ["trusted_cluster"]),
    ];
    const { out } = await tctl("tokens ls", { "tokens.list": list });
    assert.equal(
      out,
      [
        "Token Type            Expiry Time (UTC)",
        "----- --------------- -------------------",
        "stat  trusted_cluster never",
        "soon  Signup          22 Nov 26 09:29 UTC",
        "late  Node,Proxy      22 Nov 26 10:09 UTC",
        "",
      ].join("\n"),
    );
    assert.equal(
      (await tctl("tokens ls", { "tokens.list": async () => [] })).out,
      "No active tokens found.\n",
    );
  });
  for (const word of ["rm", "del"]) {
    test(`tokens ${word}`, async () => {
      const { out, sent } = await tctl(`tokens ${word} f00`, { "tokens.delete": async () => {} });
      assert.equal(out, "Token f00 has been deleted\n");
      assert.deepEqual(sent, [["tokens.delete", { name: "f00" }]]);
      assert.equal((await tctl(`tokens ${word}`)).code, 2);
    });
  }
  test("nodes ls with labels shows those that have all of them, sorted by name and id (TSH-43)", async () => {
    const label = { up: { command: ["uptime"], period: "1m0s", result: "3" } };
    const calls: Calls = {
      "nodes.list": async () => [
        nodeOf("id-3", "web"),
        nodeOf("id-2", "db", { cmd_labels: label }),
        nodeOf("id-1", "db", { cmd_labels: label }),
      ],
    };
    const ids = async (filter: string): Promise<string[]> =>
      JSON.parse((await tctl(["nodes", "ls", "--format=json", filter], calls)).out).map(
        ({ metadata }: Node) => metadata.name,
      );
    assert.deepEqual(await ids("env=prod,role=db"), ["id-1", "id-2", "id-3"]);
    assert.deepEqual(await ids("env=prod,up=3"), ["id-1", "id-2"]);
    assert.deepEqual(await ids("env=prod,up=4"), []);
    assert.deepEqual(await ids("toString=x"), []);
    assert.match((await tctl("nodes ls nonsense", calls)).err, /is not label=value/);
  });

  test("S66: what a label's command printed is shown whole, and drives no terminal", async () => {
    const result = "a\u001b]0;title\u0007\nb\u202e";
    const label = { motd: { command: ["cat", "/etc/motd"], period: "1m0s", result } };
    const calls: Calls = { "nodes.list": async () => [nodeOf("id", "db", { cmd_labels: label })] };
    assert.match(
      (await tctl("nodes ls", calls)).out,
      /env:prod,motd:a\\u001b\]0;title\\u0007\\nb\\u202e,role:db/,
    );
    const [node] = JSON.parse((await tctl("nodes ls --format=json", calls)).out);
    assert.equal(node.spec.cmd_labels.motd.result, result);
  });

  test("nodes ls (DEC-05)", async () => {
    const label = { up: { command: ["uptime"], period: "1m0s", result: "3 days" } };
    const { out } = await tctl("nodes ls", {
      "nodes.list": async () => [
        nodeOf("id-2", "web", { use_tunnel: true, addr: "" }),
        nodeOf("id-1", "db", { cmd_labels: label }),
      ],
    });
    assert.equal(
      out,
      [
        "Node Name Node ID Address       Labels",
        "--------- ------- ------------- --------------------------",
        "db        id-1    10.0.0.1:3022 env:prod,role:db,up:3 days",
        "web       id-2    (tunnel)      env:prod,role:db",
        "",
      ].join("\n"),
    );
  });
});

suite("tctl auth export", () => {
  const rotated = caOf("user", "main", {
    checking_keys: [ssh(1), ssh(2)],
    tls_key_pairs: [{ cert: pem("cert 1") }, { cert: pem("cert 2") }],
  });
  const calls: Calls = {
    "cluster.status": status(),
    "authorities.list": async ({ type, secrets }) =>
      [
        rotated,
        caOf(
          "host",
          "main",
          secrets
            ? {
                signing_keys: ["PRIVATE HOST KEY\n"],
                tls_key_pairs: [{ cert: pem("cert 1"), key: "PRIVATE TLS KEY\n" }],
              }
            : {},
        ),
        caOf("host", "east"),
      ].filter(({ spec }) => type === undefined || spec.type === type),
    "proxies.list": async () =>
      ["proxy.main:3080", "gate.example.com:443"].map((public_addr) =>
        ProxyServer.parse({
          kind: "proxy",
          version: "v2",
          metadata: { name: public_addr.slice(0, 4) },
          spec: { hostname: "p", public_addr },
        }),
      ),
  };
  const user = (n: number) => `cert-authority ${ssh(n)} clustername=main&type=user\n`;
  const host = `@cert-authority *.main ${ssh(1)} type=host\n`;
  for (const [line, want] of [
    ["--type=user", user(1) + user(2)],
    ["--type=host", host],
    ["", host + user(1) + user(2)],
    ["--type=tls", pem("cert 1")],
    ["--type=user --compat=1.0", [1, 2].map((n) => `@cert-authority *.main ${ssh(n)} type=user\n`).join("")],
    ["--type=host --keys", "PRIVATE HOST KEY\n"],
    ["--type=tls --keys", "PRIVATE TLS KEY\n"],
  ] as const) {
    test(`auth export ${line} (TCT-50)`, async () => {
      const { out, code, err } = await tctl(["auth", "export", ...line.split(" ").filter(Boolean)], calls);
      assert.equal(code, 0, err);
      assert.equal(out, want);
    });
  }
  test("one key by its fingerprint", async () => {
    const blob = Uint8Array.from(Buffer.from("key 2"));
    const sum = Buffer.from(await crypto.subtle.digest("SHA-256", blob))
      .toString("base64")
      .replace(/=+$/, "");
    assert.equal(
      (await tctl(["auth", "export", "--type=user", `--fingerprint=SHA256:${sum}`], calls)).out,
      user(2),
    );
    const none = await tctl("auth export --fingerprint=SHA256:nope", calls);
    assert.deepEqual([none.code, none.out], [1, ""]);
  });
  test("secrets are asked for only with --keys", async () => {
    const asked = async (line: string) =>
      (await tctl(line, calls)).sent.find(([name]) => name === "authorities.list")?.[1];
    assert.deepEqual(await asked("auth export --type=user"), { type: "user", secrets: false });
    assert.deepEqual(await asked("auth export --type=user --keys"), { type: "user", secrets: true });
  });
  test("proxy names that the pattern misses are told on standard error only (TCT-51)", async () => {
    const { out, err } = await tctl("auth export --type=host", calls);
    assert.equal(out, host);
    assert.match(err, /\*\.main does not cover gate\.example\.com;/);
    assert.doesNotMatch(err, /proxy\.main/);
    assert.equal((await tctl("auth export --type=user", calls)).err, "");
  });
});

suite("tctl status (TCT-60)", () => {
  test("a cluster at rest", async () => {
    const { out } = await tctl("status", { "cluster.status": status() });
    assert.equal(
      out,
      `Cluster main\nUser CA never updated\nHost CA never updated\nCA pin  sha256:${"ab".repeat(32)}\n`,
    );
  });
  test("during and after a rotation, with a license", async () => {
    const cas = [
      caOf("user", "main", { rotation: { state: "standby", last_rotated: "2026-11-22T09:27:49Z" } }),
      caOf("host", "main", {
        rotation: {
          state: "in_progress",
          phase: "update_clients",
          mode: "manual",
          started: "2026-11-22T09:27:49Z",
          schedule: { update_clients: "", update_servers: "", standby: "2026-11-24T09:27:49Z" },
        },
      }),
    ];
    const { out } = await tctl("status", { "cluster.status": status({ cas, license: "valid until 2030" }) });
    assert.match(out, /^User CA rotated Nov 22 09:27:49 UTC$/m);
    assert.match(
      out,
      /^Host CA rotating \(phase: update clients, mode: manual, started: Nov 22 09:27:49 UTC, ending: Nov 24 09:27:49 UTC\)$/m,
    );
    assert.match(out, /CA pin[^\n]*\nLicense valid until 2030\n$/);
  });
});

suite("tctl get, create, rm", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tctl-"));
  });
  after(() => rmSync(folder, { recursive: true }));
  const calls: Calls = {
    "users.list": async () => [joe, ann],
    "roles.list": async () => [dev],
    "nodes.list": async () => [nodeOf("id-1", "db"), nodeOf("id-2", "db"), nodeOf("id-3", "web")],
    "tokens.list": async () => [tokenOf("f00", ["node"])],
    "authorities.list": async () => [caOf("user", "main")],
    "users.delete": async () => {},
    "nodes.remove": async () => {},
    "roles.delete": async () => {},
    "tokens.delete": async () => {},
    "users.put": async () => ({ created: true }),
    "roles.put": async () => ({ created: false }),
  };

  for (const line of ["get user/joe", "get users joe", "get USER/joe --format=yaml"]) {
    test(`${line} prints YAML`, async () => {
      assert.equal(
        (await tctl(line, calls)).out,
        'kind: user\nmetadata:\n  name: joe\nspec:\n  roles:\n    - admin\n  traits:\n    logins:\n      - joe\n      - root\n  status:\n    lock_expires: "0001-01-01T00:00:00Z"\n    locked_time: "0001-01-01T00:00:00Z"\n    is_locked: false\n  expires: "0001-01-01T00:00:00Z"\n  created_by:\n    user:\n      name: builtin-Admin\nversion: v2\n',
      );
    });
  }
  test("several are documents of one stream; none print nothing", async () => {
    assert.equal((await tctl("get users", calls)).out.split("\n---\n").length, 2);
    assert.deepEqual(
      await tctl("get users", { "users.list": async () => [] }).then(({ code, out }) => [code, out]),
      [0, ""],
    );
  });
  test("json is a list, of one as well", async () => {
    const names = async (line: string): Promise<string[]> =>
      JSON.parse((await tctl(line, calls)).out).map(({ metadata }: typeof joe) => metadata.name);
    assert.deepEqual(await names("get users --format=json"), ["ann", "joe"]);
    assert.deepEqual(await names("get user/joe --format=json"), ["joe"]);
    assert.deepEqual(JSON.parse((await tctl("get roles --format=json", calls)).out), [dev]);
  });
  test("what is printed of a user is a user again, times that are never too (RES-10)", async () => {
    const locked = User.parse({
      ...joe,
      spec: { ...joe.spec, status: { is_locked: true, locked_time: "2026-01-02T03:04:05Z" } },
    });
    const { out } = await tctl("get user/joe --format=json", {
      ...calls,
      "users.list": async () => [locked],
    });
    const never = "0001-01-01T00:00:00Z";
    assert.deepEqual(User.parse(JSON.parse(out)[0]), {
      ...locked,
      spec: { ...locked.spec, expires: never, status: { ...locked.spec.status, lock_expires: never } },
    });
  });
  test("text is a table (TCT-62)", async () => {
    assert.equal((await tctl("get users --format=text", calls)).out, "User\n----\nann\njoe\n");
    assert.equal(
      (await tctl("get roles --format=text", calls)).out,
      "Role Allowed to login as Node Labels Access to resources\n---- ------------------- ----------- -------------------\ndev  a,b                 env:x|y     user:list\n",
    );
    for (const kind of ["nodes", "tokens", "cas"])
      assert.equal((await tctl(`get ${kind} --format=text`, calls)).code, 0);
  });
  test("a node by its name, all that are called so", async () => {
    assert.equal(JSON.parse((await tctl("get node/db --format=json", calls)).out).length, 2);
    assert.equal(JSON.parse((await tctl("get node/id-2 --format=json", calls)).out)[0].metadata.name, "id-2");
  });
  test("private keys only with --with-secrets", async () => {
    assert.deepEqual((await tctl("get cas", calls)).sent, [["authorities.list", { secrets: false }]]);
    assert.deepEqual((await tctl("get cas --with-secrets", calls)).sent, [
      ["authorities.list", { secrets: true }],
    ]);
  });
  test("what tctl get prints, tctl create -f takes, unchanged (RES-08)", async () => {
    const times = { lock_expires: "2026-01-02T03:24:05Z", locked_time: "2026-01-02T03:04:05Z" };
    const closed = User.parse({
      ...joe,
      spec: { ...joe.spec, expires: "2030-01-02T03:04:05Z", status: { is_locked: true, ...times } },
    });
    for (const [kind, resource] of [
      ["user/joe", closed],
      ["role/dev", dev],
    ] as const) {
      for (const format of ["yaml", "json"]) {
        const there = { ...calls, "users.list": async () => [closed] };
        const printed = (await tctl(`get ${kind} --format=${format}`, there)).out;
        const { sent, code, err } = await tctl("create -f", calls, printed);
        assert.equal(code, 0, err);
        const [call, given] = sent[0] as [string, Record<string, unknown>];
        assert.deepEqual(
          [call, given],
          [`${kind.split("/")[0]}s.put`, { [kind.split("/")[0] as string]: resource, force: true }],
        );
      }
    }
  });
  test("create from a file says what became of each", async () => {
    const path = join(folder, "both.yaml");
    writeFileSync(path, `${JSON.stringify(joe)}\n---\n${JSON.stringify(dev)}\n`);
    const none = { "users.list": async () => [], "roles.list": async () => [] };
    const { out, sent } = await tctl(["create", path], { ...calls, ...none });
    assert.equal(out, "user 'joe' has been created\nrole 'dev' has been updated\n");
    assert.deepEqual(
      sent.flatMap(([name, given]) => (name.endsWith(".put") ? [(given as { force: boolean }).force] : [])),
      [false, false],
    );
  });
  test("a slip at the end of a file changes nothing", async () => {
    const { code, err, sent } = await tctl(
      "create",
      calls,
      `${JSON.stringify(joe)}\n---\nkind: user\nversion: v2\nmetadata: {}\nspec: {}\n`,
    );
    assert.deepEqual([code, sent], [2, []]);
    assert.match(err, /^error: standard input \(document 2\):5:\d+: metadata\.name: /);
  });
  for (const [line, input, complaint] of [
    ["get", "", "error: specify resource to list, e.g. 'tctl get roles'\n"],
    ["get dogs", "", /^error: unsupported resource: "dogs" - resources should be expressed as 'type\/name'/],
    ["rm", "", /^error: provide a full resource name to delete, for example: tctl rm user\/joe\n$/],
    ["rm users", "", /^error: provide a full resource name to delete/],
    [
      "rm cas/main",
      "",
      /^error: deleting resources of type "cert_authority" is not supported; .* from a backup\n$/,
    ],
    ["rm node/db", "", 'error: several are called "db"; name one by its id: node/id-1, node/id-2\n'],
    ["create", "", "error: no resources found, empty input? (standard input)\n"],
    [
      "create",
      "kind: node",
      'error: standard input:1:7: creating resources of type "node" is not supported; a node joins by itself with a token of tctl nodes add\n',
    ],
    ["create /no/such", "", "error: file not found: /no/such\n"],
  ] as const) {
    test(`tctl ${line} ${input} is wrong usage`, async () => {
      const { code, err, out } = await tctl(line, calls, input);
      assert.deepEqual([code, out], [2, ""]);
      if (typeof complaint === "string") assert.equal(err, complaint);
      else assert.match(err, complaint);
    });
  }
  for (const [line, complaint] of [
    ["get user/nobody", "error: user nobody not found\n"],
    ["rm user/nobody", "error: user nobody not found\n"],
    ["get node/nobody", "error: node nobody not found\n"],
  ] as const) {
    test(`tctl ${line} fails (RES-09)`, async () => {
      const { code, err } = await tctl(line, calls);
      assert.deepEqual([code, err], [1, complaint]);
    });
  }
  for (const [line, said, call] of [
    ["rm users/joe", "user joe has been deleted\n", ["users.delete", { name: "joe" }]],
    ["del user joe", "user joe has been deleted\n", ["users.delete", { name: "joe" }]],
    ["rm node/web", "node web has been deleted\n", ["nodes.remove", { name: "id-3" }]],
    ["rm role/dev", "role dev has been deleted\n", ["roles.delete", { name: "dev" }]],
    ["rm token/f00", "token f00 has been deleted\n", ["tokens.delete", { name: "f00" }]],
  ] as const) {
    test(`tctl ${line}`, async () => {
      const { out, sent } = await tctl(line, calls);
      assert.equal(out, said);
      assert.deepEqual(sent.at(-1), call);
    });
  }
});

suite("the connection of tctl (TCT-02)", () => {
  const client = (calls: Calls) => Object.assign(calls, { close() {} }) as AuthClient;
  const run = async (auth: AuthClient | undefined, config = "") => {
    const asked: unknown[] = [];
    const program = programWith(
      connectAdmin(async () => ({
        openAdmin: async (parts) => {
          asked.push({ ...parts, version: typeof parts.version });
          return auth;
        },
      })),
    );
    const env = config ? { TELEPORT_CONFIG: Buffer.from(config).toString("base64") } : undefined;
    const got = await runLine(program, ["users", "ls"], {
      machine: { home: "/home/x" },
      ...(env && { env }),
    });
    return { ...got, asked };
  };
  const working = () => client({ "cluster.status": status(), "users.list": async () => [] });

  test("goes to this host's auth service, with the identity in the usual data folder", async () => {
    const { out, asked } = await run(working());
    assert.equal(out, "No users found\n");
    assert.deepEqual(asked, [
      {
        dataDir: "/home/x/.local/state/teleport",
        addresses: [{ host: "127.0.0.1", port: 3025 }],
        version: "string",
      },
    ]);
  });
  test("or to where the configuration says", async () => {
    const { asked } = await run(working(), "teleport: {data_dir: /d, auth_servers: ['a:1', b]}");
    assert.deepEqual(asked, [
      {
        dataDir: "/d",
        addresses: [
          { host: "a", port: 1 },
          { host: "b", port: 3025 },
        ],
        version: "string",
      },
    ]);
  });
  test("elsewhere it says where it must be used (OVW-10)", async () => {
    const { code, err } = await run(undefined);
    assert.equal(code, 1);
    assert.match(err, /^error: tctl must be used on the auth server: .*\/home\/x\/\.local\/state\/teleport/);
  });
  test("no answer: which address was tried", async () => {
    const dead = client({
      "cluster.status": async () => Promise.reject(new Fault("unreachable", "connection refused")),
    });
    const { code, err } = await run(dead);
    assert.deepEqual(
      [code, err],
      [
        1,
        "error: Cannot connect to the auth server: connection refused.\nIs the auth server running on 127.0.0.1:3025?\n",
      ],
    );
  });
  test("another failure is told as it is", async () => {
    const { code, err } = await run(
      client({ "cluster.status": async () => Promise.reject(notFound("cluster", "x")) }),
    );
    assert.deepEqual([code, err], [1, 'error: cluster "x" is not found\n']);
  });
});
