import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { selfSigned } from "../../test/self-signed.ts";
import { checkTlsPair } from "./tls.ts";

suite("TLS", () => {
  const [one, two] = [selfSigned(), selfSigned()];
  test("a certificate and its key fit", () => checkTlsPair(one));
  for (const [what, pair] of [
    ["the key of another certificate", { cert: one.cert, key: two.key }],
    ["no certificate", { cert: "", key: one.key }],
    ["no PEM", { cert: "x", key: "y" }],
  ] as const) {
    test(`refuses ${what}`, () =>
      assert.throws(
        () => checkTlsPair(pair),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
});
