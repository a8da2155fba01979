import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { generateKey } from "./private.ts";
import { sameKey } from "./public.ts";
import { signerOf, signMessage } from "./sshsig.ts";

const message = Buffer.from("what is signed");

suite("signatures over messages (OpenSSH PROTOCOL.sshsig)", () => {
  for (const type of ["ed25519", "rsa-2048", "ecdsa-p256"] as const) {
    test(`${type}: tell the key, for this message and this purpose only`, async () => {
      const key = await generateKey(type);
      const blob = await signMessage(key.signer(), "file", message);
      assert.ok(sameKey(signerOf(blob, "file", message), key.publicKey));
      for (const [namespace, text] of [
        ["email", message],
        ["file", Buffer.from("what is signex")],
      ] as const)
        assert.throws(
          () => signerOf(blob, namespace, text),
          (err) => Fault.is(err, "access_denied"),
        );
    });
  }

  test("what is cut off, goes on, or is something else is refused", async () => {
    const blob = Buffer.from(await signMessage((await generateKey("ed25519")).signer(), "file", message));
    for (let length = 0; length < blob.length; length++)
      assert.throws(
        () => signerOf(blob.subarray(0, length), "file", message),
        (err) => err instanceof Fault,
      );
    assert.throws(
      () => signerOf(Buffer.concat([blob, Buffer.of(0)]), "file", message),
      (err) => Fault.is(err, "protocol"),
    );
  });
});
