import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { access } from "./access.ts";
import { adminRole } from "./builtin.ts";
import { sourcesFor } from "./options.ts";
import type { Labels, Traits } from "./resource.ts";
import { Role } from "./role.ts";

type Spec = { options?: object; allow?: object; deny?: object };
const role = (name: string, spec: Spec): Role =>
  Role.parse({ kind: "role", version: "v3", metadata: { name }, spec });
const asked = (roles: Spec[], traits: Traits = {}, user = "joe") =>
  access({ user, traits, roles: roles.map((spec, i) => role(`r${i}`, spec)) });

suite("node access", () => {
  const prod = { env: "prod", tier: "db" };
  const dev = { env: "dev" };
  const cases: [string, Spec[], Traits, string, Labels, boolean][] = [
    ["nothing is allowed without a role", [], {}, "root", {}, false],
    ["a role without labels matches every node", [{ allow: { logins: ["root"] } }], {}, "root", prod, true],
    ["a login that no role lists", [{ allow: { logins: ["root"] } }], {}, "joe", prod, false],
    [
      "*:* matches a node without labels",
      [{ allow: { logins: ["root"], node_labels: { "*": "*" } } }],
      {},
      "root",
      {},
      true,
    ],
    [
      "empty labels match nothing",
      [{ allow: { logins: ["root"], node_labels: {} } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "a literal label",
      [{ allow: { logins: ["root"], node_labels: { env: "prod" } } }],
      {},
      "root",
      prod,
      true,
    ],
    [
      "another value",
      [{ allow: { logins: ["root"], node_labels: { env: "prod" } } }],
      {},
      "root",
      dev,
      false,
    ],
    [
      "a missing label",
      [{ allow: { logins: ["root"], node_labels: { zone: "*" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "one of the values is enough",
      [{ allow: { logins: ["root"], node_labels: { env: ["dev", "prod"] } } }],
      {},
      "root",
      prod,
      true,
    ],
    [
      "every key must match",
      [{ allow: { logins: ["root"], node_labels: { env: "prod", tier: "web" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "*:* beside another key does not widen it",
      [{ allow: { logins: ["root"], node_labels: { "*": "*", env: "dev" } } }],
      {},
      "root",
      prod,
      false,
    ],
    ["a glob", [{ allow: { logins: ["root"], node_labels: { env: "pr*" } } }], {}, "root", prod, true],
    [
      "a glob is anchored",
      [{ allow: { logins: ["root"], node_labels: { env: "r*" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "a dot in a glob is a dot",
      [{ allow: { logins: ["root"], node_labels: { env: "p.o*" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "a regex",
      [{ allow: { logins: ["root"], node_labels: { env: "^(prod|stage)$" } } }],
      {},
      "root",
      prod,
      true,
    ],
    [
      "a regex matches the whole value",
      [{ allow: { logins: ["root"], node_labels: { env: "^pro|dev$" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "login from one role and labels from another do not add up",
      [
        { allow: { logins: ["root"], node_labels: { env: "dev" } } },
        { allow: { logins: ["joe"], node_labels: { env: "prod" } } },
      ],
      {},
      "root",
      prod,
      false,
    ],
    [
      "deny of the login",
      [{ allow: { logins: ["root"] } }, { deny: { logins: ["root"] } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "deny of the login leaves other nodes closed too",
      [{ allow: { logins: ["root"] }, deny: { logins: ["root"], node_labels: { env: "dev" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "deny of labels",
      [{ allow: { logins: ["root"] } }, { deny: { node_labels: { env: "prod" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "deny of other labels",
      [{ allow: { logins: ["root"] } }, { deny: { node_labels: { env: "dev" } } }],
      {},
      "root",
      prod,
      true,
    ],
    [
      "an empty deny denies nothing",
      [{ allow: { logins: ["root"] }, deny: { node_labels: {} } }],
      {},
      "root",
      prod,
      true,
    ],
    [
      "deny of every login",
      [{ allow: { logins: ["root"] } }, { deny: { logins: ["*"] } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "internal.logins",
      [{ allow: { logins: ["{{internal.logins}}"] } }],
      { logins: ["a", "root"] },
      "root",
      prod,
      true,
    ],
    [
      "a missing trait gives no login",
      [{ allow: { logins: ["{{internal.logins}}"] } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "an external trait with odd name",
      [{ allow: { logins: ['{{external["http://x/login"]}}'] } }],
      { "http://x/login": ["root"] },
      "root",
      prod,
      true,
    ],
    [
      "text round a variable",
      [{ allow: { logins: ["svc-{{external.team}}"] } }],
      { team: ["db"] },
      "svc-db",
      prod,
      true,
    ],
    [
      "a variable in a label value",
      [{ allow: { logins: ["root"], node_labels: { tier: "{{external.team}}" } } }],
      { team: ["web", "db"] },
      "root",
      prod,
      true,
    ],
    [
      "a variable in a label value without the trait",
      [{ allow: { logins: ["root"], node_labels: { tier: "{{external.team}}" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "a variable in a label key",
      [{ allow: { logins: ["root"], node_labels: { "{{external.key}}": "db" } } }],
      { key: ["tier"] },
      "root",
      prod,
      true,
    ],
    [
      "a key without its trait matches nothing",
      [{ allow: { logins: ["root"], node_labels: { "{{external.key}}": "db", env: "prod" } } }],
      {},
      "root",
      prod,
      false,
    ],
    [
      "a trait is no wildcard",
      [{ allow: { logins: ["root"], node_labels: { env: "{{external.env}}" } } }],
      { env: ["*", "^.*$"] },
      "root",
      prod,
      false,
    ],
    [
      "a glob round a trait",
      [{ allow: { logins: ["root"], node_labels: { env: "{{external.env}}*" } } }],
      { env: ["pr"] },
      "root",
      prod,
      true,
    ],
    [
      "a trait inside a regex is literal",
      [{ allow: { logins: ["root"], node_labels: { env: "^{{external.env}}d$" } } }],
      { env: [".*"] },
      "root",
      prod,
      false,
    ],
  ];
  for (const [why, roles, traits, login, labels, expected] of cases) {
    test(why, () => assert.equal(asked(roles, traits).login(login, labels).allowed, expected));
  }

  for (const login of [
    "*",
    "-oProxyCommand",
    "a,b",
    "a b",
    "root\0",
    "",
    "..",
    "0",
    "ro/ot",
    "rооt",
    "a:b",
  ]) {
    test(`S27: no trait makes the login ${JSON.stringify(login)}`, () => {
      const decide = asked([{ allow: { logins: ["{{internal.logins}}"] } }], { logins: [login] });
      assert.deepEqual(decide.logins, []);
      assert.equal(decide.login(login, {}).allowed, false);
    });
  }

  test("the logins of a certificate are those allowed less those denied", () => {
    const decide = asked(
      [{ allow: { logins: ["root", "{{internal.logins}}"] } }, { deny: { logins: ["root"] } }],
      {
        logins: ["joe", "ann", "joe"],
      },
    );
    assert.deepEqual(decide.logins, ["ann", "joe"]);
    assert.deepEqual(asked([{ allow: { logins: ["a"] }, deny: { logins: ["*"] } }]).logins, []);
  });

  test("groups of Kubernetes come from allow less deny", () => {
    const roles = [{ allow: { kubernetes_groups: ["system:masters", "{{internal.kubernetes_groups}}"] } }];
    const decide = asked([...roles, { deny: { kubernetes_groups: ["system:masters"] } }], {
      kubernetes_groups: ["dev"],
    });
    assert.deepEqual(decide.kubernetesGroups, ["dev"]);
  });

  test("a list shows the nodes on which some login is let in", () => {
    const decide = asked([
      { allow: { logins: ["root"], node_labels: { env: "prod" } } },
      { allow: { node_labels: { env: "dev" } } },
      { deny: { node_labels: { tier: "db" } } },
    ]);
    assert.equal(decide.sees({ env: "prod" }).allowed, true);
    assert.equal(decide.sees({ env: "dev" }).allowed, false);
    assert.equal(decide.sees({ env: "prod", tier: "db" }).allowed, false);
  });

  for (const [why, roles, expected] of [
    ["the role that allows", [{ allow: { logins: ["root"] } }], "role r0 allows the login root on this node"],
    ["the role that denies", [{ deny: { logins: ["root"] } }], "role r0 denies the login root"],
    [
      "the label that did not match",
      [{ allow: { logins: ["joe"] } }, { allow: { logins: ["root"], node_labels: { env: ["dev", "qa"] } } }],
      "role r1 allows the login root, but label env is prod, not dev or qa",
    ],
    [
      "the login that was missing",
      [{ allow: { logins: ["joe"] } }],
      "role r0 matches the node, but allows only the logins joe",
    ],
    ["that nothing came near", [], "no role of the user allows the login root or matches the node"],
  ] as [string, Spec[], string][]) {
    test(`the reason names ${why}`, () => assert.equal(asked(roles).login("root", prod).reason, expected));
  }
});

suite("rules", () => {
  const allow = (rule: object): Spec => ({ allow: { rules: [rule] } });
  const deny = (rule: object): Spec => ({ deny: { rules: [rule] } });
  const own = "equals(resource.metadata.name, user.metadata.name)";
  const user = (name: string) => ({ metadata: { name } });
  const cases: [string, Spec[], Parameters<ReturnType<typeof access>["can"]>, boolean][] = [
    ["nothing without a rule", [{}], ["list", "user"], false],
    ["everyone may list nodes", [], ["list", "node"], true],
    ["everyone may read public authorities", [], ["readnosecrets", "cert_authority"], true],
    ["no one may read secret authorities so", [], ["read", "cert_authority"], false],
    ["the verb and the kind", [allow({ resources: ["user"], verbs: ["list"] })], ["list", "user"], true],
    ["another verb", [allow({ resources: ["user"], verbs: ["list"] })], ["delete", "user"], false],
    ["another kind", [allow({ resources: ["user"], verbs: ["list"] })], ["list", "token"], false],
    ["wildcards", [allow({ resources: ["*"], verbs: ["*"] })], ["rotate", "cert_authority"], true],
    [
      "deny beats allow",
      [allow({ resources: ["*"], verbs: ["*"] }), deny({ resources: ["user"], verbs: ["delete"] })],
      ["delete", "user"],
      false,
    ],
    ["deny beats the implicit role", [deny({ resources: ["node"], verbs: ["*"] })], ["list", "node"], false],
    [
      "read includes readnosecrets",
      [allow({ resources: ["user"], verbs: ["read"] })],
      ["readnosecrets", "user"],
      true,
    ],
    [
      "readnosecrets is not read",
      [allow({ resources: ["user"], verbs: ["readnosecrets"] })],
      ["read", "user"],
      false,
    ],
    [
      "who may not read the public part may not read all",
      [allow({ resources: ["*"], verbs: ["*"] }), deny({ resources: ["user"], verbs: ["readnosecrets"] })],
      ["read", "user"],
      false,
    ],
    [
      "a condition that holds",
      [allow({ resources: ["user"], verbs: ["read"], where: own })],
      ["read", "user", user("joe")],
      true,
    ],
    [
      "a condition that does not",
      [allow({ resources: ["user"], verbs: ["read"], where: own })],
      ["read", "user", user("ann")],
      false,
    ],
    [
      "a condition on the resource, for some resource",
      [allow({ resources: ["user"], verbs: ["read"], where: own })],
      ["read", "user"],
      true,
    ],
    [
      "a condition on the user alone needs no resource",
      [allow({ resources: ["user"], verbs: ["read"], where: 'contains(user.spec.traits["team"], "x")' })],
      ["read", "user"],
      false,
    ],
    [
      "a deny under a condition that holds",
      [allow({ resources: ["*"], verbs: ["*"] }), deny({ resources: ["user"], verbs: ["read"], where: own })],
      ["read", "user", user("joe")],
      false,
    ],
    [
      "a deny under a condition that does not",
      [allow({ resources: ["*"], verbs: ["*"] }), deny({ resources: ["user"], verbs: ["read"], where: own })],
      ["read", "user", user("ann")],
      true,
    ],
  ];
  for (const [why, roles, question, expected] of cases) {
    test(why, () => assert.equal(asked(roles).can(...question).allowed, expected));
  }

  test("the admin role manages roles, connectors and trusted clusters, and sees sessions and events", () => {
    const decide = access({ user: "joe", roles: [adminRole], traits: { logins: ["joe"] } });
    for (const kind of ["role", "auth_connector", "trusted_cluster"] as const)
      for (const verb of ["list", "create", "read", "update", "delete"] as const)
        assert.ok(decide.can(verb, kind).allowed, `${verb} ${kind}`);
    for (const kind of ["session", "event"] as const) {
      assert.ok(decide.can("list", kind).allowed && decide.can("read", kind).allowed);
      assert.ok(!decide.can("delete", kind).allowed);
    }
    for (const kind of ["user", "token", "cert_authority", "host_cert"] as const)
      assert.ok(!decide.can("create", kind).allowed, kind);
    assert.ok(decide.login("joe", {}).allowed);
    assert.ok(!decide.login("root", {}).allowed);
  });

  test("a rule's actions come with the decision", () => {
    const decide = asked([
      allow({ resources: ["user"], verbs: ["list"], actions: ['log("info", "users", "listed")'] }),
    ]);
    assert.deepEqual(decide.can("list", "user").log, [{ level: "info", message: "users listed" }]);
  });
});

suite("options", () => {
  const options = (
    all: object[],
    cluster?: { client_idle_timeout?: number; disconnect_expired_cert?: boolean; session_recording?: "off" },
  ) =>
    asked(all.map((o) => ({ options: o }))).options(
      cluster && {
        client_idle_timeout: 0,
        disconnect_expired_cert: false,
        session_recording: "node",
        ...cluster,
      },
    );
  test("defaults: 30 h, port forwarding, no agent", () =>
    assert.deepEqual(options([{}]), {
      maxSessionTtl: 30 * hour,
      portForwarding: true,
      agentForwarding: false,
      clientIdleTimeout: 0,
      disconnectExpiredCert: false,
      certFormat: "standard",
      recording: "on",
      pinSourceIp: false,
      sourceAddresses: undefined,
    }));
  for (const [all, expected, cluster] of [
    [[], "on"],
    [[{ default: "strict" }], "required"],
    [[{ ssh: "strict" }, {}], "required"],
    [[{ default: "strict", ssh: "best_effort" }], "on"],
    [[{}], "on"],
    [["required", "off"], "required"],
    [[false, "off", { ssh: "off" }], "off"],
    [["off", "on"], "on"],
    [["off", {}], "on"],
    [[{}], "off", { session_recording: "off" }],
    [["on"], "off", { session_recording: "off" }],
    [["required"], "required", { session_recording: "off" }],
  ] as const) {
    test(`record_session ${JSON.stringify(all)}${cluster ? " where the cluster has it off" : ""}: ${expected}`, () =>
      assert.equal(
        options(
          all.map((r) => ({ record_session: r })),
          cluster,
        ).recording,
        expected,
      ));
  }
  test("one role is enough to pin certificates", () => {
    assert.equal(options([{}, { pin_source_ip: true }, { pin_source_ip: false }]).pinSourceIp, true);
    assert.equal(options([{ pin_source_ip: false }]).pinSourceIp, false);
  });
  for (const [lists, expected] of [
    [[["10.1.2.3", "10.0.0.0/8"]], ["10.0.0.0/8", "10.1.2.3/32"]],
    [[["10.0.0.0/8"], undefined], ["10.0.0.0/8"]],
    [
      [
        ["10.0.0.0/8", "fd00::/8"],
        ["10.2.0.0/16", "192.168.1.1"],
      ],
      ["10.2.0.0/16"],
    ],
    [[["10.0.0.0/8"], ["192.168.0.0/16"]], []],
  ] as const) {
    test(`source addresses ${JSON.stringify(lists)} have ${JSON.stringify(expected)} in common`, () =>
      assert.deepEqual(options(lists.map((l) => ({ source_addresses: l }))).sourceAddresses, expected));
  }
  test("a certificate is bound to the address of its login, to the roles' ranges, or not at all", () => {
    const bound = (all: object[], from: string | undefined) => sourcesFor(options(all), from);
    const refused = (all: object[], from: string | undefined, why: RegExp) =>
      assert.throws(
        () => bound(all, from),
        (err) => Fault.is(err, "access_denied") && why.test(err.message),
      );
    assert.equal(bound([{}], "10.1.2.3"), undefined);
    assert.equal(bound([{}], undefined), undefined);
    assert.deepEqual(bound([{ pin_source_ip: true }], "::ffff:10.1.2.3"), ["10.1.2.3/32"]);
    assert.deepEqual(bound([{ pin_source_ip: true }], "2001:db8::7"), ["2001:db8::7/128"]);
    const office = { source_addresses: ["10.0.0.0/8"] };
    assert.deepEqual(bound([office], "10.1.2.3"), ["10.0.0.0/8"]);
    assert.deepEqual(bound([office], undefined), ["10.0.0.0/8"]);
    assert.deepEqual(bound([office, { pin_source_ip: true }], "10.1.2.3"), ["10.1.2.3/32"]);
    refused([office], "11.0.0.1", /only from 10\.0\.0\.0\/8, and you come from 11\.0\.0\.1/);
    refused([office], "", /an unknown address|come from /);
    refused([office, { source_addresses: ["11.0.0.0/8"] }], "10.1.2.3", /from nowhere/);
    refused([office, { source_addresses: ["11.0.0.0/8"] }], undefined, /from nowhere/);
    refused([{ pin_source_ip: true }], undefined, /source_addresses instead/);
    refused([{ pin_source_ip: true }], "", /not known here/);
    refused([{ pin_source_ip: true }], "", /not known here/);
  });
  test("without roles there is no port forwarding", () => assert.equal(options([]).portForwarding, false));
  test("the smallest time to live wins", () => {
    assert.equal(
      options([{ max_session_ttl: "8h" }, { max_session_ttl: "30m" }, {}]).maxSessionTtl,
      30 * minute,
    );
    assert.equal(options([{ max_session_ttl: "100h" }, {}]).maxSessionTtl, 30 * hour);
  });
  test("one role is enough for forwarding", () => {
    assert.equal(options([{ forward_agent: false }, { forward_agent: true }]).agentForwarding, true);
    assert.equal(options([{ port_forwarding: false }, {}]).portForwarding, true);
    assert.equal(options([{ port_forwarding: false }]).portForwarding, false);
  });
  test("the smallest idle timeout that is set wins, the cluster's included", () => {
    assert.equal(
      options([{ client_idle_timeout: "1h" }, { client_idle_timeout: "0s" }, {}]).clientIdleTimeout,
      hour,
    );
    const cluster = { client_idle_timeout: 10 * minute, disconnect_expired_cert: true };
    assert.equal(options([{ client_idle_timeout: "1h" }], cluster).clientIdleTimeout, 10 * minute);
    assert.equal(options([{ client_idle_timeout: "1m" }], cluster).clientIdleTimeout, minute);
    assert.equal(options([{ disconnect_expired_cert: false }], cluster).disconnectExpiredCert, true);
    assert.equal(options([{ disconnect_expired_cert: true }]).disconnectExpiredCert, true);
  });
  test("an agent is forwarded only for a login of a role that forwards agents", () => {
    const decide = asked([
      { options: { forward_agent: true }, allow: { logins: ["joe"] } },
      { allow: { logins: ["root"] } },
    ]);
    assert.equal(decide.agent("joe").allowed, true);
    const refused = decide.agent("root");
    assert.equal(refused.allowed, false);
    assert.equal(refused.reason, "role r1 allows the login root, but its forward_agent is not set");
  });
});

suite("S48: deny beats allow, whatever the roles are", () => {
  const login = fc.constantFrom("root", "joe", "ann", "{{internal.logins}}", "{{external.nobody}}");
  const value = fc.constantFrom("a", "b", "*", "a*", "^(a|b)$", "{{external.value}}");
  const labels = fc.dictionary(
    fc.constantFrom("x", "y", "{{external.key}}"),
    fc.array(value, { minLength: 1, maxLength: 2 }),
  );
  const rule = fc.record({
    resources: fc.subarray(["user", "node", "token", "*"], { minLength: 1 }),
    verbs: fc.subarray(["list", "read", "readnosecrets", "delete", "*"] as const, { minLength: 1 }),
  });
  const conditions = fc.record(
    {
      logins: fc.array(login, { maxLength: 3 }),
      node_labels: labels,
      rules: fc.array(rule, { maxLength: 3 }),
    },
    { requiredKeys: [] },
  );
  const spec = fc.record({ allow: conditions, deny: conditions });
  const traits = fc.constantFrom<Traits>({}, { logins: ["ann"], value: ["a"], key: ["y"] });
  const node = fc.dictionary(fc.constantFrom("x", "y"), fc.constantFrom("a", "b", "ab"));
  const logins = ["root", "joe", "ann"];

  const everything = (roles: Spec[], has: Traits, at: Labels): string[] => {
    const decide = asked(roles, has);
    return [
      ...logins.filter((l) => decide.login(l, at).allowed).map((l) => `login ${l}`),
      ...decide.logins.map((l) => `principal ${l}`),
      ...(decide.sees(at).allowed ? ["sees"] : []),
      ...(["list", "read", "readnosecrets", "delete"] as const).flatMap((verb) =>
        (["user", "node", "token"] as const)
          .filter((kind) => decide.can(verb, kind).allowed)
          .map((kind) => `${verb} ${kind}`),
      ),
    ];
  };

  test("a further deny never adds access", () =>
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 3 }), conditions, traits, node, (roles, deny, has, at) => {
        const before = new Set(everything(roles, has, at));
        for (const thing of everything([...roles, { deny }], has, at)) assert.ok(before.has(thing), thing);
      }),
    ));
  test("a further allow never takes access away", () =>
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 3 }), conditions, traits, node, (roles, allow, has, at) => {
        const after = new Set(everything([...roles, { allow }], has, at));
        for (const thing of everything(roles, has, at)) assert.ok(after.has(thing), thing);
      }),
    ));
  test("the order of roles does not matter", () =>
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 4 }), traits, node, (roles, has, at) => {
        assert.deepEqual(everything([...roles].reverse(), has, at), everything(roles, has, at));
      }),
    ));
  test("who gets in has the login in the certificate, and sees the node", () =>
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 3 }), traits, node, (roles, has, at) => {
        const decide = asked(roles, has);
        for (const l of logins) {
          if (!decide.login(l, at).allowed) continue;
          assert.ok(decide.logins.includes(l) && decide.sees(at).allowed);
        }
      }),
    ));
});
