import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { access } from "./access.ts";
import { adminRole } from "./builtin.ts";
import { Labels, Traits } from "./resource.ts";
import { Role } from "./role.ts";
import { validateRole } from "./validate.ts";

const written = (spec: object, name = "ops") => ({ kind: "role", version: "v3", metadata: { name }, spec });
const role = (spec: object, name = "ops"): Role => Role.parse(written(spec, name));

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
    [
      { allow: { node_labels: { ok: "x", "a b": "^($" } } },
      /allow\.node_labels\["a b"\]: .*not a valid pattern/,
    ],
    [{ allow: { node_labels: { a: `^${"x{900}".repeat(3)}$` } } }, /too large/],
    [{ allow: { logins: ["root", "{{x}}"] } }, /allow\.logins\[1\]/],
    [
      { options: { source_addresses: ["10.0.0.0/8", "office"] } },
      /options\.source_addresses\[1\]: "office" is no address/,
    ],
    [{ allow: { forward_to: ["db"] } }, /allow\.forward_to\[0\]: "db" is not host:port/],
    [{ allow: { forward_to: ["db:0"] } }, /not host:port/],
    [{ allow: { forward_to: ["db:70000"] } }, /a port that there is not/],
    [{ allow: { forward_to: ["::1:22"] } }, /not host:port/],
    [{ allow: { forward_to: ["10.0.0.0/33:22"] } }, /names no host/],
    [{ allow: { forward_to: ["127.1:22"] } }, /names no host/],
    [{ allow: { forward_to: ["0x7f.1:22"] } }, /names no host/],
    [{ allow: { forward_to: ["*.internal:22"] } }, /names no host/],
    [{ allow: { forward_to: ["/run/../etc/x"] } }, /no path of a socket/],
    [{ deny: { forward_to: ["listen:"] } }, /deny\.forward_to\[0\]/],
    [{ deny: { forward_to: ["/run/docker.sock"] } }, /of sockets only all can be denied/],
    [{ options: { port_forwarding: false }, allow: { forward_to: ["*:22"] } }, /it opens nothing/],
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
  const everywhere = [
    "db:5432",
    "10.0.0.0/8:*",
    "[fd00::/8]:443",
    "*:22",
    "/run/app.sock",
    "/*",
    "listen:127.0.0.1:*",
  ];
  validateRole(
    role({ allow: { forward_to: everywhere }, deny: { forward_to: ["db.:1", "/*", "listen:/*"] } }),
  );
});

suite("S61: the language's own traps", () => {
  for (const pattern of ["^(a+)+$", "^(a|a)*$", "^(a*)*b$", "^(.*a){20}$", "a*a*a*a*a*a*b"]) {
    test(`the catastrophic ${pattern} looks at each character a fixed number of times`, () => {
      const evil = role({ allow: { logins: ["root"], node_labels: { a: pattern } } });
      validateRole(evil);
      const decide = access({ user: "joe", roles: [evil], traits: {} });
      // A backtracking engine would look 2^1000 times, or n^6; ours reads the label by these methods, from front to back.
      const looks = (length: number): number => {
        const value = `${"a".repeat(length)}!`;
        let count = 0;
        const { codePointAt, charCodeAt } = String.prototype;
        const counting = <M extends (this: string, ...args: never[]) => unknown>(method: M) =>
          function (this: string, ...args: Parameters<M>) {
            if (String(this) === value && ++count > 10_000_000) throw new Error("too many looks");
            return method.apply(this, args);
          };
        String.prototype.codePointAt = counting(codePointAt) as typeof codePointAt;
        String.prototype.charCodeAt = counting(charCodeAt) as typeof charCodeAt;
        try {
          assert.equal(decide.login("root", { a: value }).allowed, false);
        } finally {
          Object.assign(String.prototype, { codePointAt, charCodeAt });
        }
        return count;
      };
      const [once, twice] = [looks(1000), looks(2000)];
      assert.ok(once > 0, "the looks are counted");
      assert.ok(twice < 2.1 * once, `${once} looks at 1000 characters, ${twice} at 2000`);
    });
  }
  const proto = JSON.parse('{"__proto__":"prod"}') as object;
  for (const [what, schema, value] of [
    ["labels", Labels, proto],
    ["traits", Traits, JSON.parse('{"__proto__":["root"]}')],
    ["the labels of an allow", Role, written({ allow: { node_labels: proto } })],
    ["the labels of a deny", Role, written({ deny: { node_labels: proto } })],
  ] as const) {
    test(`__proto__ is refused in ${what}, where to pass over it would change what is decided`, () => {
      assert.match(schema.safeParse(value).error?.message ?? "", /__proto__ is no name/);
      assert.equal(Object.hasOwn(Object.prototype, "env"), false);
    });
  }
  test("a trait may be called __proto__ in a template, and nobody has it", () => {
    const roles = [
      role({
        allow: { logins: ['{{external["__proto__"]}}'], node_labels: { '{{external["__proto__"]}}': "*" } },
      }),
    ];
    const decide = access({ user: "joe", roles, traits: {} });
    assert.deepEqual(decide.logins, []);
    assert.equal(decide.login("root", {}).allowed, false);
  });
  for (const key of ["constructor", "toString", "hasOwnProperty"]) {
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
