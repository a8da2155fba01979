import assert from "node:assert/strict";
import { createDecipheriv } from "node:crypto";
import { suite, test } from "node:test";
import { Fault } from "./errors.ts";
import { newSealingKey, seal, unseal } from "./seal.ts";

suite("what travels sealed through a browser", () => {
  const key = newSealingKey();
  const value = { username: "joe", cert: "c3No", host_signers: [] };

  test("whoever holds the key reads it", () => {
    assert.match(key, /^[0-9a-f]{64}$/);
    assert.deepEqual(unseal(seal(value, key), key), value);
  });

  test("AUTH-66: it is AES-256-GCM in base64, the tag behind the ciphertext", () => {
    const { ciphertext, nonce } = JSON.parse(seal(value, key)) as Record<string, string>;
    const bytes = Buffer.from(ciphertext ?? "", "base64");
    const open = createDecipheriv("aes-256-gcm", Buffer.from(key, "hex"), Buffer.from(nonce ?? "", "base64"));
    open.setAuthTag(bytes.subarray(-16));
    assert.equal(`${open.update(bytes.subarray(0, -16))}${open.final()}`, JSON.stringify(value));
  });

  test("no two are alike", () => assert.notEqual(seal(value, key), seal(value, key)));

  const sealed = seal(value, key);
  const changed = (field: "ciphertext" | "nonce"): string => {
    const parts = JSON.parse(sealed) as Record<string, string>;
    const bytes = Buffer.from(parts[field] ?? "", "base64");
    bytes[0] = (bytes[0] as number) ^ 1;
    return JSON.stringify({ ...parts, [field]: bytes.toString("base64") });
  };
  for (const [why, text, by] of [
    ["another key", sealed, newSealingKey()],
    ["a changed ciphertext", changed("ciphertext"), key],
    ["another nonce", changed("nonce"), key],
    ["a short tag", JSON.stringify({ ciphertext: "AAAA", nonce: "AAAAAAAAAAAAAAAA" }), key],
    ["no JSON", "{", key],
    ["nothing in it", "{}", key],
    ["null", "null", key],
  ] as const) {
    test(`refuses ${why}`, () =>
      assert.throws(
        () => unseal(text, by),
        (err) => Fault.is(err, "access_denied"),
      ));
  }
});
