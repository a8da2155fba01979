import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { Fault } from "#core/errors";
import { type Identity, Node } from "#model";
import { account, type Cluster, cluster, hostId, otherId, role } from "../testing/cluster.ts";

/** Two nodes called db, and users whose roles let them do little. */
async function site(): Promise<Cluster> {
  const c = await cluster();
  const node = (name: string, hostname: string, env: string) =>
    Node.parse({
      kind: "node",
      version: "v2",
      metadata: { name, labels: { env } },
      spec: { hostname, addr: `${hostname}.example.com:3022` },
    });
  for (const one of [
    node(hostId, "web", "prod"),
    node(otherId, "db", "prod"),
    node("11111111-1111-4222-8333-0123456789ab", "db", "dev"),
  ])
    await c.admin["nodes.announce"](one);
  for (const one of [
    role("dev", {
      allow: {
        logins: ["{{internal.logins}}"],
        node_labels: { env: "dev" },
        rules: [
          {
            resources: ["user"],
            verbs: ["read"],
            where: "equals(resource.metadata.name, user.metadata.name)",
          },
        ],
      },
    }),
    role("ops", {
      allow: { logins: ["root"] },
      options: { pin_source_ip: true, record_session: "required" },
    }),
    role("no-root", { deny: { logins: ["root"], rules: [{ resources: ["token"], verbs: ["*"] }] } }),
    role("tunnels", { allow: { logins: ["root"], forward_to: ["10.0.0.0/8:5432", "localhost:22"] } }),
  ])
    await c.admin["roles.put"]({ role: one });
  await c.addUser("ann", { roles: ["dev", "ops", "no-root"], traits: { logins: ["ann", "-x"] } });
  await c.addUser("bob", { roles: ["ops", "tunnels"] });
  await c.addUser("eve", { roles: ["ops"], status: { is_locked: true } });
  return c;
}

suite("tctl access explain", () => {
  // Nothing is changed by an explanation.
  let c: Cluster;
  before(async () => {
    c = await site();
  });
  after(() => c[Symbol.asyncDispose]());

  const cases: [string, object, object][] = [
    [
      "the rule that allows, and what holds for the session",
      { user: "bob", target: "root@web" },
      {
        allowed: true,
        by: "allow",
        reason: "role ops allows the login root on this node",
        decided: {
          reason: "role ops allows the login root on this node",
          role: "ops",
          rule: "allow.logins[0]",
          text: '"root"',
        },
        nearest: undefined,
        options: {
          max_session_ttl: "30h0m0s",
          client_idle_timeout: "never",
          disconnect_expired_cert: false,
          recording: "required",
          pin_source_ip: true,
        },
      },
    ],
    [
      "the rule that denies, and what would be without it",
      { user: "ann", target: "root@web" },
      {
        allowed: false,
        by: "deny",
        reason: "role no-root denies the login root",
        decided: {
          reason: "role no-root denies the login root",
          role: "no-root",
          rule: "deny.logins[0]",
          text: '"root"',
        },
        nearest: {
          reason: "role ops allows the login root on this node",
          role: "ops",
          rule: "allow.logins[0]",
          text: '"root"',
          would_allow: true,
        },
      },
    ],
    [
      "what came nearest, where nothing allows",
      { user: "ann", target: "ann@web.main" },
      {
        allowed: false,
        by: "nothing",
        reason: "role dev allows the login ann, but label env is prod, not dev",
        decided: undefined,
        nearest: {
          reason: "role dev allows the login ann, but label env is prod, not dev",
          role: "dev",
          rule: "allow.node_labels",
          text: '{"env":["dev"]}',
          would_allow: false,
        },
      },
    ],
    [
      "a node by its id",
      { user: "ann", target: `ann@${hostId}`, action: "scp" },
      { allowed: false, action: "scp" },
    ],
    [
      "the agent",
      { user: "bob", target: "root@web", action: "agent" },
      { allowed: false, reason: "role ops allows the login root, but its forward_agent is not set" },
    ],
    [
      "a destination by its address",
      { user: "bob", target: "root@web", action: "forward:10.1.2.3:5432" },
      { allowed: true, reason: "role tunnels allows forwarding to 10.1.2.3:5432" },
    ],
    [
      "a destination by another name of it",
      { user: "bob", target: "root@web", action: "forward:127.0.0.1:22" },
      { allowed: true, reason: "role tunnels allows forwarding to 127.0.0.1:22" },
    ],
    [
      "a destination that is not listed",
      { user: "bob", target: "root@web", action: "forward:[2001:db8::1]:22" },
      { allowed: false, reason: "role tunnels does not list forwarding to [2001:db8::1]:22" },
    ],
    [
      "listening on the node",
      { user: "bob", target: "root@web", action: "listen::8080" },
      { allowed: false, reason: "role tunnels does not list listening at *:8080" },
    ],
    [
      "a socket",
      { user: "bob", target: "root@web", action: "forward:/run/app.sock" },
      { allowed: false, reason: "role tunnels does not list forwarding to /run/app.sock" },
    ],
    [
      "a forward of somebody who does not get in",
      { user: "ann", target: "root@web", action: "forward:10.1.2.3:5432" },
      { allowed: false, reason: "role no-root denies the login root" },
    ],
    [
      "a rule with its condition",
      { user: "ann", action: "read:user/bob" },
      {
        allowed: false,
        reason: "role dev allows read of user, but its condition does not hold",
        nearest: {
          reason: "role dev allows read of user, but its condition does not hold",
          role: "dev",
          rule: "allow.rules[0].where",
          text: '"equals(resource.metadata.name, user.metadata.name)"',
          would_allow: false,
        },
      },
    ],
    ["a rule of which the condition holds", { user: "ann", action: "read:user/ann" }, { allowed: true }],
    [
      "a rule that denies",
      { user: "ann", action: "list:token" },
      {
        allowed: false,
        by: "deny",
        nearest: { reason: "no role of the user allows list of token", would_allow: false },
      },
    ],
    [
      "what everybody may",
      { user: "ann", action: "list:node" },
      {
        allowed: true,
        decided: {
          reason: "role default-implicit-role allows list of node",
          role: "default-implicit-role",
          rule: "allow.rules[0]",
        },
      },
    ],
    [
      "an account that is locked",
      { user: "eve", target: "root@web" },
      { allowed: false, by: "account", reason: "user eve is locked", decided: undefined },
    ],
  ];
  for (const [what, asked, expected] of cases) {
    test(what, async () => {
      const told = (await c.admin["access.explain"](asked as { user: string })) as Record<string, unknown>;
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(told[key], value, key);
    });
  }

  for (const [what, asked, kind, why] of [
    ["a user", { user: "anm", target: "root@web" }, "not_found", /there is no user "anm"; do you mean ann\?/],
    [
      "a node",
      { user: "ann", target: "root@wep" },
      "not_found",
      /there is no node "wep"; do you mean web\?.*openssh_targets/,
    ],
    [
      "a name of several nodes",
      { user: "ann", target: "root@db" },
      "bad_parameter",
      new RegExp(`"db" is ambiguous: .*1111.*, ${otherId} \\(db\\.example\\.com:3022\\)`),
    ],
    ["no node", { user: "ann" }, "bad_parameter", /LOGIN@NODE/],
    ["no login", { user: "ann", target: "@web" }, "bad_parameter", /LOGIN@NODE/],
    [
      "a login that there cannot be",
      { user: "ann", target: "-x@web" },
      "bad_parameter",
      /"-x" can be no login/,
    ],
    [
      "an action",
      { user: "ann", target: "root@web", action: "dance" },
      "bad_parameter",
      /there is no action "dance"; use ssh, /,
    ],
    [
      "a resource",
      { user: "ann", action: "list:usr" },
      "bad_parameter",
      /there is no resource "usr"; use one of role, /,
    ],
    [
      "a port",
      { user: "ann", target: "root@web", action: "forward:db:99999" },
      "bad_parameter",
      /write forward:HOST:PORT/,
    ],
    [
      "a node of a rule",
      { user: "ann", target: "root@web", action: "list:user" },
      "bad_parameter",
      /leave out root@web/,
    ],
    ["a resource that there is not", { user: "ann", action: "read:user/zoe" }, "not_found", /zoe/],
  ] as const) {
    test(`says what is wrong with ${what}`, async () => {
      await assert.rejects(
        c.admin["access.explain"](asked),
        (err) => Fault.is(err, kind) && why.test(err.message),
      );
    });
  }

  test("who may not read users, roles and nodes learns nothing, not even who exists", async () => {
    const rule = (kind: string) => ({ resources: [kind], verbs: ["read" as const] });
    await c.admin["roles.put"]({ role: role("auditor", { allow: { rules: [rule("role")] } }) });
    await c.admin["roles.put"]({
      role: role("helper", {
        allow: { rules: [rule("role"), rule("user")] },
        deny: { rules: [{ ...rule("user"), where: 'equals(resource.metadata.name, "bob")' }] },
      }),
    });
    await c.addUser("cyd", { roles: ["auditor", "helper"] });
    const ask = (roles: string[], user: string) =>
      c.user("cyd", roles)["access.explain"]({ user, target: "root@web" });
    const refused = (err: unknown): boolean => Fault.is(err, "access_denied");
    for (const user of ["ann", "nobody"]) await assert.rejects(ask(["auditor"], user), refused);
    await assert.rejects(ask(["auditor", "helper"], "bob"), refused);
    assert.equal((await ask(["auditor", "helper"], "ann")).by, "deny");
  });
});

suite("what people are refused by the API is written down with the reason", () => {
  const refusals = (c: Cluster) => c.events.filter((event) => event.code === "T4051W");

  test("of a rule, of a condition, and of the record itself", async () => {
    await using c = await site();
    const ann = c.user("ann", ["dev", "no-root"]);
    for (const call of [
      () => ann["tokens.list"]({}),
      () => ann["users.get"]({ name: "bob" }),
      () => ann["roles.put"]({ role: role("x", {}) }),
    ])
      await assert.rejects(
        call(),
        (err) => Fault.is(err, "access_denied") && !/role dev|no-root/.test(err.message),
      );
    assert.deepEqual(
      refusals(c).map(({ action, resource, error }) => [action, resource, error]),
      [
        ["list", "token", "ann may not call tokens.list: role no-root denies list of token"],
        [
          "get",
          "users",
          'ann may not read the user "bob": role dev allows read of user, but its condition does not hold',
        ],
        ["put", "roles", "ann may not call roles.put: no role of the user allows create of role"],
      ],
    );
  });

  test("of an account that is locked, has expired or is gone, and of a role that is", async () => {
    await using c = await site();
    const as = (user: string, roles = ["ops"]): Identity => ({
      ...{ kind: "user", user, roles, logins: [], traits: {}, cluster: "main" },
      expires: c.clock.now() + 1000,
    });
    await c.admin["users.put"]({ user: account("old", { expires: "2020-01-01T00:00:00Z" }) }).catch(() => {});
    for (const [user, roles] of [
      ["eve", ["ops"]],
      ["ghost", ["ops"]],
      ["ann", ["gone"]],
    ] as const)
      await assert.rejects(c.as(as(user, [...roles]))["nodes.list"]({}), (err) =>
        Fault.is(err, "access_denied"),
      );
    assert.deepEqual(
      refusals(c).map(({ user, error }) => [user, error]),
      [
        ["eve", "user eve is locked; ask your administrator"],
        ["ghost", "the user ghost does not exist any more"],
        ["ann", 'the role "gone" of user ann does not exist any more'],
      ],
    );
  });
});
