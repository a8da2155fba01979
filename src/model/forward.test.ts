import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { access } from "./access.ts";
import type { Destination } from "./destination.ts";
import { Role } from "./role.ts";

type Spec = { options?: object; allow?: object; deny?: object };
const asked = (...specs: Spec[]) =>
  access({
    user: "joe",
    traits: {},
    roles: specs.map((spec, i) =>
      Role.parse({ kind: "role", version: "v3", metadata: { name: `r${i}` }, spec }),
    ),
  });
/** What the node's resolver knows; of `slow` nobody can tell now. */
const hosts: Readonly<Record<string, readonly string[] | undefined>> = {
  "db.internal": ["10.0.0.5", "fd00::5"],
  localhost: ["127.0.0.1", "::1"],
  nowhere: [],
  slow: undefined,
};
const at = { login: "root", labels: { env: "prod" }, addressesOf: (name: string) => hosts[name] };
const to = (host: string, address: string, port: number): Destination => ({
  kind: "connect",
  host,
  address,
  port,
});
const listen = (host: string, addresses: readonly string[], port: number): Destination => ({
  kind: "listen",
  host,
  addresses,
  port,
});
const db = to("db.internal", "10.0.0.5", 5432);
const entering = { logins: ["root"] };
const allow = (...forward_to: string[]): Spec => ({ allow: { ...entering, forward_to } });
const deny = (...forward_to: string[]): Spec => ({ allow: entering, deny: { forward_to } });

suite("where one may forward to", () => {
  const cases: [string, Spec[], Destination, boolean][] = [
    ["anywhere, when no role lists anything", [{ allow: entering }], db, true],
    ["nowhere, when every role has it switched off", [{ options: { port_forwarding: false } }], db, false],
    ["nowhere without a role", [], db, false],
    ["a host by its name", [allow("db.internal:5432")], db, true],
    [
      "a host by its name in capitals, with a dot",
      [allow("DB.internal.:5432")],
      to("Db.Internal.", "10.0.0.5", 5432),
      true,
    ],
    [
      "a host by the address that its name has",
      [allow("db.internal:5432")],
      to("10.0.0.5", "10.0.0.5", 5432),
      true,
    ],
    ["not by another address", [allow("db.internal:5432")], to("10.0.0.6", "10.0.0.6", 5432), false],
    ["not by another port", [allow("db.internal:5432")], to("db.internal", "10.0.0.5", 22), false],
    ["not to a host that nobody finds, under another name", [allow("slow:1")], to("x", "10.0.0.5", 1), false],
    ["a range, by any name", [allow("10.0.0.0/8:*")], to("anything", "10.9.9.9", 1), true],
    ["not beyond the range", [allow("10.0.0.0/8:*")], to("anything", "11.0.0.1", 1), false],
    ["a range of IPv6", [allow("[fd00::/8]:*")], to("x", "fd12::1", 1), true],
    ["IPv4 dressed as IPv6", [allow("10.0.0.0/8:*")], to("x", "::ffff:10.1.1.1", 1), true],
    ["an address with its interface", [allow("[fe80::/10]:*")], to("x", "fe80::1%eth0", 1), true],
    ["any host on one port", [allow("*:443")], to("x", "192.0.2.1", 443), true],
    ["an empty list opens nothing", [allow()], db, false],
    ["one list binds all roles", [{ allow: entering }, allow("*:443")], db, false],
    ["lists add up", [allow("*:443"), allow("db.internal:5432")], db, true],
    [
      "a list counts where its role lets in: not by another login",
      [{ allow: entering }, { allow: { logins: ["joe"], forward_to: ["*:*"] } }],
      db,
      false,
    ],
    [
      "a list counts where its role lets in: not on other nodes",
      [{ allow: entering }, { allow: { ...entering, node_labels: { env: "dev" }, forward_to: ["*:*"] } }],
      db,
      false,
    ],
    ["a denied name", [deny("db.internal:5432")], db, false],
    ["a denied name by its address", [deny("db.internal:*")], to("10.0.0.5", "10.0.0.5", 5432), false],
    ["a denied name by its other address", [deny("db.internal:*")], to("x", "fd00::5", 1), false],
    [
      "a denied name that nobody can look up now may be anywhere",
      [deny("slow:*")],
      to("x", "192.0.2.1", 1),
      false,
    ],
    ["a denied name that does not exist is nowhere", [deny("nowhere:*")], to("x", "192.0.2.1", 1), true],
    ["a denied range by a name", [deny("10.0.0.0/8:*")], db, false],
    ["a denied range, dressed as IPv6", [deny("10.0.0.0/8:*")], to("x", "::ffff:a00:5", 1), false],
    ["the unspecified address is this machine", [deny("127.0.0.0/8:*")], to("0.0.0.0", "0.0.0.0", 1), false],
    ["the unspecified IPv6 address too", [deny("localhost:*")], to("::", "::", 1), false],
    ["deny beats allow", [allow("*:*"), deny("db.internal:5432")], db, false],
    ["what is not denied", [deny("10.0.0.0/8:22")], db, true],
    ["a socket by its path", [allow("/run/app.sock")], { kind: "connect", path: "/run/app.sock" }, true],
    ["no other socket", [allow("/run/app.sock")], { kind: "connect", path: "/run/app.sock2" }, false],
    ["no socket by a list of ports", [allow("*:*")], { kind: "connect", path: "/run/app.sock" }, false],
    ["all sockets", [allow("/*")], { kind: "connect", path: "/run/app.sock" }, true],
    ["no sockets at all", [deny("/*")], { kind: "connect", path: "/run/app.sock" }, false],
    [
      "no listening by a list of destinations",
      [allow("*:*")],
      listen("localhost", ["127.0.0.1", "::1"], 80),
      false,
    ],
    [
      "listening where it is listed",
      [allow("listen:localhost:8080")],
      listen("localhost", ["127.0.0.1", "::1"], 8080),
      true,
    ],
    [
      "not on a part that is not listed",
      [allow("listen:127.0.0.1:*")],
      listen("both", ["127.0.0.1", "10.0.0.1"], 80),
      false,
    ],
    ["not on all addresses by a range", [allow("listen:0.0.0.0/0:*")], listen("", [], 80), false],
    ["on all addresses by *", [allow("listen:*:*")], listen("", [], 80), true],
    [
      "on a free port only by any port",
      [allow("listen:127.0.0.1:8080")],
      listen("127.0.0.1", ["127.0.0.1"], 0),
      false,
    ],
    [
      "denied on an address, so not on all",
      [deny("listen:10.0.0.0/8:*")],
      listen("0.0.0.0", ["0.0.0.0"], 80),
      false,
    ],
    [
      "denied on a port, so not on a free one",
      [deny("listen:*:80")],
      listen("127.0.0.1", ["127.0.0.1"], 0),
      false,
    ],
    ["denied on another port", [deny("listen:*:80")], listen("127.0.0.1", ["127.0.0.1"], 81), true],
    ["a socket to listen on", [allow("listen:/*")], { kind: "listen", path: "/tmp/x" }, true],
    [
      "no socket to listen on by those to connect to",
      [allow("/*")],
      { kind: "listen", path: "/tmp/x" },
      false,
    ],
  ];
  for (const [why, roles, wanted, expected] of cases) {
    test(why, () => assert.equal(asked(...roles).forward(wanted, at).allowed, expected));
  }

  for (const [why, roles, expected] of [
    [
      "the rule that allows",
      [allow("*:1", "db.internal:5432")],
      ["allow", "r0", "allow.forward_to[1]", "role r0 allows forwarding to db.internal:5432 (10.0.0.5)"],
    ],
    [
      "the rule that denies",
      [deny("10.0.0.0/8:*")],
      ["deny", "r0", "deny.forward_to[0]", "role r0 denies forwarding to db.internal:5432 (10.0.0.5)"],
    ],
    [
      "the list that has it not",
      [allow("*:1")],
      [
        "nothing",
        "r0",
        "allow.forward_to",
        "role r0 does not list forwarding to db.internal:5432 (10.0.0.5)",
      ],
    ],
    [
      "the login that the list's role does not have",
      [allow("*:1"), { allow: { logins: ["joe"], forward_to: ["*:*"] } }],
      [
        "nothing",
        "r1",
        "allow.forward_to[0]",
        "role r1 allows forwarding to db.internal:5432 (10.0.0.5), but with only the logins joe",
      ],
    ],
    [
      "the option that is off",
      [{ options: { port_forwarding: false } }],
      [
        "nothing",
        "r0",
        "options.port_forwarding",
        "role r0 has port_forwarding switched off, and no other role of the user has it on",
      ],
    ],
  ] as [string, Spec[], string[]][]) {
    test(`the decision names ${why}`, () => {
      const { by, role, rule, reason } = asked(...roles).forward(db, at);
      assert.deepEqual([by, role, rule, reason], expected);
    });
  }

  test("a host that is no node: lists bind, the switch of port forwarding does not (RBAC-12)", () => {
    const connects = (...roles: Spec[]): boolean =>
      asked(...roles).connect(to("h", "192.0.2.7", 22), at).allowed;
    assert.equal(
      connects({ options: { port_forwarding: false }, allow: { node_labels: { env: "dev" } } }),
      true,
    );
    assert.equal(connects(allow("*:22")), true);
    assert.equal(connects(allow("*:23")), false);
    assert.equal(connects(deny("192.0.2.0/24:*")), false);
  });

  test("the hosts that roles name are known before", () =>
    assert.deepEqual(asked(allow("b:1", "10.0.0.0/8:1"), deny("listen:a:1", "b:2")).namedHosts, ["b", "a"]));
});
