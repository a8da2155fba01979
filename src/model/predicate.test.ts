import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { holds, parseAction, parsePredicate } from "./predicate.ts";

const about = {
  user: {
    metadata: { name: "joe" },
    spec: { roles: ["ops"], traits: { team: ["db", "web"], "odd name": ["x"] } },
  },
  resource: { kind: "user", metadata: { name: "ann", labels: { owner: "joe" } } },
};

suite("conditions of rules", () => {
  for (const [source, expected] of [
    ['equals("a", "a")', true],
    ["equals('it\\'s', \"it's\")", true],
    ['equals("a", "b")', false],
    ['equals(user.metadata.name, "joe")', true],
    ["equals(resource.metadata.labels.owner, user.metadata.name)", true],
    ['equals(resource.metadata.labels["owner"], "joe")', true],
    ['contains(user.spec.traits["team"], "db")', true],
    ['contains(user.spec.traits.team, "d")', false],
    ['contains(user.spec.traits["odd name"], "x")', true],
    ['contains(user.metadata.name, "j")', false],
    ['contains(user.spec.traits["none"], "x")', false],
    ["equals(user.nothing, resource.nothing)", false],
    ["equals(user.spec.roles, user.spec.roles)", true],
    ['!equals("a", "b")', true],
    ['!!equals("a", "b")', false],
    ['equals("a", "b") || equals("a", "a") && equals("b", "b")', true],
    ['(equals("a", "a") || equals("a", "b")) && equals("a", "b")', false],
    ['equals("a","a")||equals("a","b")&&equals("a","b")', true],
    ['equals(user.metadata.constructor, "x")', false],
    ['equals(user.__proto__, "x")', false],
  ] as const) {
    test(`${source} is ${expected}`, () => assert.equal(holds(parsePredicate(source), about), expected));
  }

  for (const [source, expected] of [
    ['equals(resource.metadata.name, "x")', undefined],
    ['!equals(resource.metadata.name, "x")', undefined],
    ['equals(resource.metadata.name, "x") && equals("a", "b")', false],
    ['equals("a", "a") || equals(resource.metadata.name, "x")', true],
    ['equals(resource.metadata.name, "x") && equals("a", "a")', undefined],
  ] as const) {
    test(`without a resource, ${source} is ${expected}`, () =>
      assert.equal(holds(parsePredicate(source), { user: about.user }), expected));
  }

  for (const source of [
    "",
    "equals",
    "equals(",
    'equals("a")',
    'equals("a", "b", "c")',
    'equals("a", "b"',
    'equals("a", "b") &&',
    '&& equals("a", "b")',
    'equals("a", "b") equals("a", "b")',
    'equals("a, "b")',
    'equals(secret.x, "b")',
    'equals(user., "b")',
    "equals(user[name], 'b')",
    'system("rm", "x")',
    'equals("a", "b") & equals("a", "b")',
    "true",
    `${"(".repeat(5000)}`,
    `${"!".repeat(60)}equals("a","a")`,
  ]) {
    test(`refuses ${source.slice(0, 40) || "nothing"}`, () =>
      assert.throws(
        () => parsePredicate(source),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }

  test("S61: whatever it is given, it answers or refuses with bad_parameter", () => {
    const word = fc.constantFrom(
      "equals",
      "(",
      ")",
      ",",
      "!",
      "&&",
      "||",
      '"a"',
      "user",
      ".",
      "name",
      "[",
      "]",
      "'",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((all) => all.join("")),
        ),
        (source) => {
          try {
            holds(parsePredicate(source), about);
          } catch (err) {
            assert.ok(Fault.is(err, "bad_parameter"));
          }
        },
      ),
    );
  });
});

suite("actions of rules", () => {
  test("log has a level and a message", () =>
    assert.deepEqual(parseAction('log("info", "hello")'), { level: "info", message: "hello" }));
  for (const source of ["log()", 'log("loud", "x")', 'print("info", "x")', 'log("info", "x") x']) {
    test(`refuses ${source}`, () =>
      assert.throws(
        () => parseAction(source),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
});
