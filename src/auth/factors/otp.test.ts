import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { second } from "#core/clock";
import { checkCode, codeAt, newSeed, otpUri, stepAt } from "./otp.ts";

/** "12345678901234567890", the key of RFC 6238 Appendix B, in base32. */
const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

suite("one-time codes", () => {
  // RFC 6238 Appendix B, SHA-1; the last six of its eight digits.
  for (const [time, code] of [
    [59, "287082"],
    [1111111109, "081804"],
    [1111111111, "050471"],
    [1234567890, "005924"],
    [2000000000, "279037"],
    [20000000000, "353130"],
  ] as const) {
    test(`at ${time} s the code is ${code}`, () => assert.equal(codeAt(seed, stepAt(time * second)), code));
  }

  const now = 1234567890 * second;
  test("a code is good one period early and late, no more", () => {
    for (const [away, good] of [
      [-2, false],
      [-1, true],
      [0, true],
      [1, true],
      [2, false],
    ] as const) {
      const step = stepAt(now) + away;
      assert.deepEqual(checkCode(seed, codeAt(seed, step), now, 0), good ? { step } : "wrong", `${away}`);
    }
  });
  test("S22: a used code is not good again, nor one older than it", () => {
    const step = stepAt(now);
    assert.equal(checkCode(seed, codeAt(seed, step), now, step), "used");
    assert.equal(checkCode(seed, codeAt(seed, step - 1), now, step), "used");
    assert.deepEqual(checkCode(seed, codeAt(seed, step + 1), now, step), { step: step + 1 });
  });
  for (const code of ["", "00592", "0059240", "５９２4００", "abcdef"]) {
    test(`refuses ${JSON.stringify(code)}`, () => assert.equal(checkCode(seed, code, now, 0), "wrong"));
  }
  test("seeds are 160 bits in base32, each another", () => {
    assert.match(newSeed(), /^[A-Z2-7]{32}$/);
    assert.notEqual(newSeed(), newSeed());
  });
  test("an authenticator reads the URI", () => {
    const uri = new URL(otpUri(seed, "joe@host"));
    assert.equal(uri.protocol + uri.host, "otpauth:totp");
    assert.equal(decodeURIComponent(uri.pathname), "/Teleport:joe@host");
    assert.equal(uri.searchParams.get("secret"), seed);
    assert.equal(uri.searchParams.get("issuer"), "Teleport");
  });
});
