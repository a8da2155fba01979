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
    [
      `${joe}\n---\n${joe}\nmetdata: {}`,
      'r.yaml (document 2):10:1: unknown key "metdata"; did you mean "metadata"?',
    ],
    [
      `${joe.replace("[admin]", "[admin], role: x")}`,
      'r.yaml:4:24: spec: unknown key "role"; did you mean "roles"?',
    ],
    [
      `- ${joe.replaceAll("\n", "\n  ")}\n- kind: user\n  version: v9\n  metadata: {name: x}\n  spec: {}`,
      /^r\.yaml:6:12: version: /,
    ],
    [
      "kind: user\nversion: v2\nmetadata: {name: a/b}\nspec: {}",
      /^r\.yaml:3:18: metadata\.name: may not hold slashes/,
    ],
    ["words", "r.yaml:1:1: wants keys with values"],
    [
      "kind: role\nversion: v3\nmetadata: {name: x}\nspec:\n  allow:\n    rules:\n      - resources: [user]\n        verb: [list]",
      /^r\.yaml:7:9: spec\.allow\.rules\.0\.verbs: is missing; wants a list\nr\.yaml:8:9: spec\.allow\.rules\.0: unknown key "verb"; did you mean "verbs"\?$/,
    ],
    [
      "kind: role\nversion: v3\nmetadata: {name: x}\nspec: {options: {cert_format: newssh}}",
      "r.yaml:4:31: spec.options.cert_format: wants standard or oldssh",
    ],
    [
      "kind: user\nversion: v2\nmetadata: {name: x}\nspec: {roles: admin}",
      "r.yaml:4:15: spec.roles: wants a list",
    ],
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
  test("S61: aliases that stand for millions of values, deep nesting and long files cost little and are refused", () => {
    const bomb = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
    for (let i = 1; i < 9; i++)
      bomb.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(",")}]`,
      );
    const text = `kind: user\nversion: v2\nmetadata: {name: x}\nspec: {traits: {}}\n${bomb.join("\n")}`;
    assert.throws(() => parse(text), /^Fault: r\.yaml:\d+:\d+: more than 1000000 values$/);
    assert.throws(() => parse(`kind: ${"[".repeat(200)}${"]".repeat(200)}`), /nested deeper than 50 levels/);
    assert.throws(() => parse(`# ${"x".repeat(17 << 20)}`), /the file is larger than 16 MiB/);
  });
  test("each tells where it stands, and what is in it", () => {
    const [one, two] = parse(
      `${joe}\n---\n- kind: user\n  version: v2\n  metadata: {name: ann}\n  spec: {}\n`,
    );
    assert.equal(one?.placeOf(), "r.yaml (document 1):1:1");
    assert.equal(one?.placeOf(["spec", "roles", 0]), "r.yaml (document 1):4:16");
    assert.equal(two?.placeOf(), "r.yaml (document 2):6:3");
    assert.equal(two?.placeOf(["metadata", "name"]), "r.yaml (document 2):8:20");
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
