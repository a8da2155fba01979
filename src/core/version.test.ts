import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isOlder } from "./version.ts";

suite("UPG-06: versions in the order of Semantic Versioning", () => {
  const order = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.2.0",
    "10.0.0",
  ];
  for (const [i, a] of order.entries()) {
    test(a, () => {
      for (const [j, b] of order.entries()) assert.equal(isOlder(a, b), i < j, `${a} < ${b}`);
    });
  }
  test("builds do not count, a leading v neither, and nonsense is older than nothing", () => {
    assert.equal(isOlder("v1.0.0+1", "1.0.0+2"), false);
    assert.equal(isOlder("x", "1.0.0"), false);
    assert.equal(isOlder("1.0.0", ""), false);
  });
});
