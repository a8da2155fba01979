import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { parsePlace, quoted } from "./scp.ts";

suite("scp", () => {
  for (const [text, want] of [
    ["a/b:c", { kind: "local", path: "a/b:c" }],
    ["file", { kind: "local", path: "file" }],
    ["./a@b:c", { kind: "local", path: "./a@b:c" }],
    ["db:x", { kind: "remote", login: undefined, host: "db", path: "x" }],
    ["root@db:/a b:c", { kind: "remote", login: "root", host: "db", path: "/a b:c" }],
    ["root@[::1]:", { kind: "remote", login: "root", host: "::1", path: "" }],
  ] as const) {
    test(`${text} is a ${want.kind} place`, () => assert.deepEqual(parsePlace(text), want));
  }
  for (const text of [":x", "$(id):x", "-x:y", "a b:c", "ro;ot@db:x", "@db:x"]) {
    test(`S57: refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parsePlace(text),
        (err) => Fault.is(err, "bad_parameter"),
      );
    });
  }

  test("S56: whatever a path holds, the shell there sees that path and nothing else", () => {
    const nasty = fc.constantFrom(
      "a",
      " ",
      "'",
      '"',
      "`",
      "$",
      "(",
      ")",
      ";",
      "&",
      "|",
      "\\",
      "<",
      "{",
      ",",
      "}",
      "!",
      "#",
      "é",
      "~",
      "-",
      "\t",
    );
    const paths = fc
      .sample(fc.array(nasty, { minLength: 1, maxLength: 12 }), 200)
      .map((parts) => `x${parts.join("")}`);
    const script = paths.map((path) => `printf '%s\\0' ${quoted(path)}`).join("\n");
    const seen = execFileSync("sh", ["-f"], { input: script }).toString().split("\0");
    assert.deepEqual(seen.slice(0, -1), paths);
  });
  test("the home and wildcards keep their meaning; a path over lines is refused", () => {
    assert.deepEqual(["", "~", "~/a b", "*.[ch]"].map(quoted), [".", ".", "./a' 'b", "*.[ch]"]);
    assert.throws(
      () => quoted("a\nb"),
      (err) => Fault.is(err, "bad_parameter"),
    );
  });
});
