import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { access } from "./access.ts";
import { adminRole } from "./builtin.ts";
import { Role } from "./role.ts";
import { validateRole } from "./validate.ts";

const role = (spec: object, name = "ops"): Role =>
  Role.parse({ kind: "role", version: "v3", metadata: { name }, spec });

suite("roles that make no sense are refused", () => {
  for (const [spec, why] of [
    [{ allow: { logins: ["{{internal.logins"] } }, /allow\.logins.*malformed braces/],
    [{ allow: { logins: ["internal.logins}}"] } }, /malformed braces/],
    [{ allow: { logins: ["{{{internal.logins}}}"] } }, /malformed braces/],
    [{ allow: { logins: ["{{internal.logins}}{{internal.logins}}"] } }, /malformed braces/],
    [{ allow: { logins: ["{{}}"] } }, /names no variable/],
    [{ allow: { logins: ["{{internal.secrets}}"] } }, /names no variable/],
    [{ allow: { logins: ["{{external.a.b}}"] } }, /names no variable/],
    [{ allow: { logins: ["{{external[a]}}"] } }, /names no variable/],
    [{ allow: { kubernetes_groups: ["{{x}}"] } }, /allow\.kubernetes_groups/],
    [{ deny: { node_labels: { "{{x}}": "a" } } }, /deny\.node_labels/],
    [{ allow: { node_labels: { a: "{{x" } } }, /allow\.node_labels.*malformed/],
    [{ allow: { logins: ["*"] } }, /wildcards are not allowed in logins/],
    [{ allow: { logins: ["web-*"] } }, /wildcards are not allowed in logins/],
    [{ deny: { logins: ["web-*"] } }, /no pattern/],
    [{ allow: { node_labels: { "*": "prod" } } }, /selector \*:prod is not supported/],
    [{ allow: { node_labels: { a: "^(x$" } } }, /not a valid pattern/],
    [{ allow: { node_labels: { a: "^(x{1000}){1000}$" } } }, /not a valid pattern/],
    [{ allow: { node_labels: { a: "x".repeat(1025) } } }, /1024 characters/],
    [{ options: { max_session_ttl: "soon" } }, /options\.max_session_ttl.*not a duration/],
    [{ options: { client_idle_timeout: "-5m" } }, /may not be negative/],
    [{ allow: { rules: [{ resources: ["usr"], verbs: ["list"] }] } }, /there is no resource "usr"/],
    [{ allow: { rules: [{ resources: ["user"], verbs: ["list"], where: "equals(" }] } }, /condition/],
    [{ deny: { rules: [{ resources: ["user"], verbs: ["list"], actions: ["run()"] }] } }, /deny\.rules/],
  ] as const) {
    test(JSON.stringify(spec).slice(0, 100), () =>
      assert.throws(
        () => validateRole(role(spec)),
        (err) => Fault.is(err, "bad_parameter") && /^role "ops", /.test(err.message) && why.test(err.message),
      ),
    );
  }
  test("the name of the implicit role is taken", () =>
    assert.throws(() => validateRole(role({}, "default-implicit-role")), /kept for the system/));
});

test("roles that do are taken", () => {
  validateRole(adminRole);
  validateRole(role({ allow: { node_labels: { a: "^x{2}$", b: ["*", "c-*"] } }, deny: { logins: ["*"] } }));
  validateRole(role({ allow: { logins: [' {{ external["a b"] }}'] } }));
});

suite("S61: the language's own traps", () => {
  test("a catastrophic expression takes linear time", () => {
    const evil = role({ allow: { logins: ["root"], node_labels: { a: "^(a+)+$" } } });
    validateRole(evil);
    const decide = access({ user: "joe", roles: [evil], traits: {} });
    // A backtracking engine would need 2^40000 steps.
    assert.equal(decide.login("root", { a: `${"a".repeat(40_000)}!` }).allowed, false);
  });
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    test(`${key} is no trait and no label that everyone has`, () => {
      const roles = [role({ allow: { logins: [`{{external["${key}"]}}`], node_labels: { [key]: "*" } } })];
      const decide = access({ user: "joe", roles, traits: JSON.parse(`{"x":["a"]}`) });
      assert.deepEqual(decide.logins, []);
      const open = access({
        user: "joe",
        roles: [role({ allow: { logins: ["root"], node_labels: { constructor: "*", toString: "*" } } })],
        traits: {},
      });
      assert.equal(open.login("root", {}).allowed, false);
    });
    test(`${key} as a label of a node is a label like any other`, () => {
      const roles = [role({ allow: { logins: ["root"], node_labels: { env: "prod" } } })];
      const labels = JSON.parse(`{"${key}":"prod"}`);
      assert.equal(access({ user: "joe", roles, traits: {} }).login("root", labels).allowed, false);
      assert.equal(Object.hasOwn(Object.prototype, "env"), false);
    });
  }
});
