import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { Role, User } from "#model";
import { parseResources } from "./resource.ts";

const schemas = { user: User, role: Role };
const parse = (text: string) => parseResources(text, "r.yaml", schemas);
const joe = "kind: user\nversion: v2\nmetadata: {name: joe}\nspec: {roles: [admin]}";

suite("resource files", () => {
  test("several documents, lists in one and JSON, in order (RES-01)", () => {
    const names = (text: string) => parse(text).map(({ kind, value }) => `${kind}/${value.metadata.name}`);
    const json = JSON.stringify(
      { kind: "user", version: "v2", metadata: { name: "ann" }, spec: {} },
      undefined,
      2,
    );
    assert.deepEqual(names(`---\n${joe}\n---\n${json}\n---\n`), ["user/joe", "user/ann"]);
    assert.deepEqual(names(`[${json}, {kind: role, version: v3, metadata: {name: r}, spec: {}}]`), [
      "user/ann",
      "role/r",
    ]);
  });
  test("text becomes what the resource wants, names and values stay as written", () => {
    const [user, role] = parse(
      "kind: user\nversion: v2\nmetadata: {name: 012}\nspec:\n  roles: [on]\n  status: {is_locked: true, lock_expires: ~}\n  traits: {logins: [0x10, yes], kubernetes_groups: null}\n---\n" +
        "kind: role\nversion: v3\nmetadata: {name: dev, labels: {a: 1.0}}\nspec: {options: {forward_agent: yes}, allow: {node_labels: {env: off, '*': ['*']}}}",
    );
    assert.ok(user?.kind === "user" && role?.kind === "role");
    assert.equal(user.value.metadata.name, "012");
    assert.deepEqual(user.value.spec.roles, ["on"]);
    assert.deepEqual(user.value.spec.status, { is_locked: true });
    assert.deepEqual(user.value.spec.traits.logins, ["0x10", "yes"]);
    assert.equal(role.value.spec.options.forward_agent, true);
    assert.deepEqual(role.value.spec.allow.node_labels, { env: ["off"], "*": ["*"] });
    assert.deepEqual(role.value.metadata.labels, { a: "1.0" });
  });
  for (const [text, complaint] of [
    ["", "no resources found, empty input? (r.yaml)"],
    ["# nothing\n---\n", "no resources found, empty input? (r.yaml)"],
    ["version: v2", "r.yaml:1:1: kind: wants the kind of the resource, e.g. user"],
    ["kind: dog", 'r.yaml:1:7: creating resources of type "dog" is not supported'],
    ["kind: constructor", 'r.yaml:1:7: creating resources of type "constructor" is not supported'],
    [`${joe}\n---\n${joe}\nmetdata: {}`, 'r.yaml (document 2):10:1: unknown key "metdata"'],
    [`${joe.replace("[admin]", "[admin], role: x")}`, 'r.yaml:4:24: spec: unknown key "role"'],
    [
      `- ${joe.replaceAll("\n", "\n  ")}\n- kind: user\n  version: v9\n  metadata: {name: x}\n  spec: {}`,
      /^r\.yaml:6:12: version: /,
    ],
    [
      "kind: user\nversion: v2\nmetadata: {name: a/b}\nspec: {}",
      /^r\.yaml:3:18: metadata\.name: may not hold slashes/,
    ],
    ["words", /^r\.yaml:1:1: /],
  ] as const) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parse(text),
        (err) => {
          assert.ok(Fault.is(err, "bad_parameter"), String(err));
          if (typeof complaint === "string") assert.equal(err.message, complaint);
          else assert.match(err.message, complaint);
          return true;
        },
      );
    });
  }
  test("S61: no key reaches what all objects share", () => {
    assert.throws(
      () => parse("kind: user\nversion: v2\nmetadata: {name: x, labels: {__proto__: y}}\nspec: {}"),
      /"__proto__" is not allowed/,
    );
    const [user] = parse("kind: user\nversion: v2\nmetadata: {name: x}\nspec: {traits: {constructor: [a]}}");
    assert.deepEqual(user?.kind === "user" && Object.entries(user.value.spec.traits), [
      ["constructor", ["a"]],
    ]);
  });
  test("no text makes the reader throw anything but a complaint", () => {
    const piece = fc.constantFrom(
      "kind: user\n",
      "kind: role\n",
      "version: v2\n",
      "metadata: {name: x}\n",
      "spec: ",
      "{}",
      "[]",
      "- ",
      "---\n",
      "~",
      "null",
      "\n",
      "traits: {logins: null}",
      "status: {is_locked: yes}",
      "  ",
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(piece, fc.string({ maxLength: 2 }))).map((parts) => parts.join("")),
        (text) => {
          try {
            parse(text);
          } catch (err) {
            if (!Fault.is(err, "bad_parameter")) throw err;
          }
        },
      ),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 200) },
    );
  });
});
