import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { selfSigned } from "../../test/self-signed.ts";
import { checkTlsPair, tlsServerName } from "./tls.ts";

suite("TLS", () => {
  for (const [host, name] of [
    ["proxy.example.com", "proxy.example.com"],
    ["127.0.0.1", undefined],
    ["::1", undefined],
  ] as const) {
    test(`dialling ${host} asks for ${name ?? "no name"}`, () => assert.equal(tlsServerName(host), name));
  }

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
