import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { localRolesOf, TrustedCluster, validateTrustedCluster } from "./trust.ts";

const cluster = (spec: object, version = "v2"): TrustedCluster =>
  TrustedCluster.parse({
    kind: "trusted_cluster",
    version,
    metadata: { name: "main" },
    spec: { web_proxy_addr: "main:3080", ...spec },
  });

suite("trusted clusters (TC-08, RES-32)", () => {
  test("a file of v1 is taken, and enabled is what is not said; one role need not be a list", () => {
    const { version, spec } = cluster({ role_map: [{ remote: "admin", local: "dev" }] }, "v1");
    assert.equal(version, "v2");
    assert.deepEqual(spec, {
      web_proxy_addr: "main:3080",
      enabled: true,
      role_map: [{ remote: "admin", local: ["dev"] }],
    });
    assert.throws(() => cluster({}, "v3"));
  });
  for (const [why, spec] of [
    ["no mapping at all", {}],
    ["a role", { role_map: [{ remote: "admin", local: ["dev", "ops"] }] }],
    ["everybody, written out", { role_map: [{ remote: "*", local: ["dev"] }] }],
    ["a glob and what its star stands for", { role_map: [{ remote: "team-*", local: ["here-$1"] }] }],
    ["a regular expression", { role_map: [{ remote: "^(dev|ops)-.+$", local: ["$1"] }] }],
    ["the older form", { roles: ["dev"] }],
  ] as const) {
    test(`lets pass ${why}`, () => validateTrustedCluster(cluster(spec)));
  }
  for (const [why, spec, field] of [
    ["both forms", { role_map: [{ remote: "a", local: ["a"] }], roles: ["a"] }, "spec.roles"],
    [
      "one role twice",
      {
        role_map: [
          { remote: "a", local: ["a"] },
          { remote: "a", local: ["b"] },
        ],
      },
      "spec.role_map[1].remote",
    ],
    ["a wildcard here", { role_map: [{ remote: "*", local: ["*"] }] }, "spec.role_map[0].local"],
    ["a part of one", { role_map: [{ remote: "a", local: ["dev", "d*"] }] }, "spec.role_map[0].local"],
    ["a wildcard in the older form", { roles: ["*"] }, "spec.roles"],
    ["a mapping to nothing", { role_map: [{ remote: "a", local: [] }] }, "spec.role_map[0].local"],
    [
      "a mapping to a role without a name",
      { role_map: [{ remote: "a", local: [""] }] },
      "spec.role_map[0].local",
    ],
    ["a mapping of nothing", { role_map: [{ remote: "", local: ["a"] }] }, "spec.role_map[0].remote"],
    ["no mapping in a list", { role_map: [] }, "spec.role_map"],
    ["no role in a list", { roles: [] }, "spec.roles"],
    ["a pattern that is none", { role_map: [{ remote: "^(a$", local: ["a"] }] }, "spec.role_map[0].remote"],
    [
      "S61: a pattern that would take exponential time elsewhere and that RE2 does not know",
      { role_map: [{ remote: "^(a+)+\\1$", local: ["a"] }] },
      "spec.role_map[0].remote",
    ],
    [
      "S61: a pattern that is short only as it is written",
      { role_map: [{ remote: `^${"(a{900})".repeat(100)}$`, local: ["a"] }] },
      "spec.role_map[0].remote",
    ],
    [
      "a pattern that is too long",
      { role_map: [{ remote: `^${"a".repeat(2000)}$`, local: ["a"] }] },
      "spec.role_map[0].remote",
    ],
  ] as const) {
    test(`refuses ${why}`, () =>
      assert.throws(
        () => validateTrustedCluster(cluster(spec)),
        (err) => Fault.is(err, "bad_parameter") && err.details.field === field,
      ));
  }
  test("the roles that it may give are those that are named", () => {
    const role_map = [
      { remote: "a", local: ["dev", "ops"] },
      { remote: "b-*", local: ["dev", "$1", "x-$2", "cost$"] },
    ];
    assert.deepEqual(localRolesOf(cluster({ role_map })), ["dev", "ops", "cost$"]);
    assert.deepEqual(localRolesOf(cluster({ roles: ["dev"] })), ["dev"]);
    assert.deepEqual(localRolesOf(cluster({})), ["admin"]);
  });
});
