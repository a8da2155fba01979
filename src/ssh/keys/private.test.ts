import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { inspect } from "node:util";
import { Fault } from "#core/errors";
import { Reader, text, Writer } from "../wire/codec.ts";
import { RsaPrivate } from "../wire/private-keys.ts";
import { generateKey, PrivateKey } from "./private.ts";
import { readPrivateKey, writePrivateKey } from "./private-fields.ts";
import { formatPrivateKey, parsePrivateKey } from "./private-text.ts";
import { parsePublicKey, sameKey } from "./public.ts";
import { parsePublicKeyLine } from "./text.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8");
const data = Buffer.from("what is signed");
const names = ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa2048", "rsa3072"];

suite("private keys", () => {
  for (const name of names) {
    test(`${name} of ssh-keygen is read, and signs as its public key`, async () => {
      const { key, comment } = parsePrivateKey(vector(name));
      assert.equal(comment, name);
      assert.ok(sameKey(key.publicKey, parsePublicKeyLine(vector(`${name}.pub`)).key));
      for (const algorithm of key.publicKey.algorithms) {
        const signature = await key.signer().sign(data, algorithm);
        assert.ok(key.publicKey.verify(data, signature, algorithm));
        assert.ok(!key.publicKey.verify(Buffer.from("other"), signature, algorithm));
      }
    });

    test(`${name} written by us reads back as the same key`, () => {
      const { key } = parsePrivateKey(vector(name));
      const again = parsePrivateKey(formatPrivateKey(key, "a comment"));
      assert.equal(again.comment, "a comment");
      assert.ok(again.key.reveal().equals(key.reveal()));
    });
  }

  for (const name of ["rsa2048-pkcs1.pem", "rsa2048-pkcs8.pem", "ecdsa256-sec1.pem", "ecdsa256-pkcs8.pem"]) {
    test(`${name} is read`, () => {
      const { key } = parsePrivateKey(vector(name));
      const plain = parsePublicKeyLine(vector(`${name.split("-")[0]}.pub`)).key;
      assert.ok(sameKey(key.publicKey, plain));
    });
  }

  for (const kind of ["ed25519", "ecdsa-p256", "rsa-2048"] as const) {
    test(`a new ${kind} key signs`, async () => {
      const key = await generateKey(kind);
      const [algorithm = ""] = key.publicKey.algorithms;
      assert.ok(key.publicKey.verify(data, await key.signer().sign(data, algorithm), algorithm));
    });
  }

  test("an RSA signature is good for the algorithm it was made with and for no other", async () => {
    const { key } = parsePrivateKey(vector("rsa2048"));
    const signature = await key.signer().sign(data, "rsa-sha2-256");
    assert.ok(key.publicKey.verify(data, signature, "rsa-sha2-256"));
    assert.ok(!key.publicKey.verify(data, signature, "rsa-sha2-512"));
  });

  test("SHA-1 signatures are neither made nor taken", async () => {
    const { key } = parsePrivateKey(vector("rsa2048"));
    await assert.rejects(key.signer().sign(data, "ssh-rsa"), (err) => Fault.is(err, "bad_parameter"));
    const signature = Buffer.from(await key.signer().sign(data, "rsa-sha2-256"));
    const asSha1 = Buffer.concat([Buffer.from("\0\0\0\x07ssh-rsa"), signature.subarray(16)]);
    assert.ok(!key.publicKey.verify(data, asSha1, "ssh-rsa"));
  });

  test("a certificate signs under its certified name, and the signature carries the plain one", async () => {
    const { key } = parsePrivateKey(vector("rsa2048"));
    const certificate = parsePublicKeyLine(vector("rsa2048-user-cert.pub")).key;
    const signer = key.signer(certificate);
    const signature = await signer.sign(data, "rsa-sha2-512-cert-v01@openssh.com");
    assert.equal(text.read(new Reader(signature)), "rsa-sha2-512");
    assert.ok(signer.publicKey.verify(data, signature, "rsa-sha2-512-cert-v01@openssh.com"));
    assert.ok(signer.publicKey.verify(data, signature, "rsa-sha2-512"));
    assert.ok(!key.publicKey.verify(data, signature, "rsa-sha2-512-cert-v01@openssh.com"));
  });

  test("a certificate of another key is not taken", () => {
    const { key } = parsePrivateKey(vector("rsa3072"));
    const certificate = parsePublicKeyLine(vector("rsa2048-user-cert.pub")).key;
    assert.throws(
      () => key.signer(certificate),
      (err) => Fault.is(err, "bad_parameter"),
    );
  });

  test("an encrypted key is refused with a way out", () => {
    assert.throws(
      () => parsePrivateKey(vector("ed25519-encrypted")),
      (err) => Fault.is(err, "bad_parameter") && /decrypt a copy with ssh-keygen -p/.test(err.message),
    );
  });

  test("keys that SSH or we do not use are refused", () => {
    for (const key of [
      generateKeyPairSync("x25519").privateKey,
      generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey,
      generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey,
    ])
      assert.throws(
        () => new PrivateKey(key),
        (err) => Fault.is(err, "bad_parameter"),
      );
  });

  test("a key does not show itself when printed", () => {
    const { key } = parsePrivateKey(vector("ed25519"));
    const secret = key.reveal().export({ format: "jwk" }).d ?? "";
    assert.ok(secret.length > 0);
    assert.ok(!inspect(key, { depth: 9, showHidden: true }).includes(secret));
    assert.ok(!JSON.stringify(key).includes(secret));
  });

  test("an RSA key whose numbers do not belong together is refused", () => {
    const w = new Writer();
    writePrivateKey(w, { key: parsePrivateKey(vector("rsa2048")).key });
    const r = new Reader(w.finish());
    const type = text.read(r);
    const fields = RsaPrivate.read(r);
    for (const [name, value] of Object.entries(fields)) {
      if (name === "exponent") continue;
      const changed = Uint8Array.from(value);
      changed[100] = (changed[100] as number) ^ 1;
      const bad = RsaPrivate.encode({ ...fields, [name]: changed });
      assert.throws(
        () => readPrivateKey(type, new Reader(bad)),
        (err) => Fault.is(err, "protocol"),
        name,
      );
    }
    assert.ok(readPrivateKey(type, new Reader(RsaPrivate.encode(fields))));
  });

  test("an Ed25519 key with another public part, in either place, is refused", () => {
    const w = new Writer();
    writePrivateKey(w, { key: parsePrivateKey(vector("ed25519")).key });
    const good = w.finish();
    for (const at of [15 + 4 + 31, good.length - 1]) {
      const bad = Uint8Array.from(good);
      bad[at] = (bad[at] as number) ^ 1;
      const r = new Reader(bad);
      assert.throws(
        () => readPrivateKey(text.read(r), r),
        (err) => Fault.is(err, "protocol"),
      );
    }
  });

  for (const name of ["ed25519", "ecdsa256", "rsa2048"]) {
    test(`${name} travels with its certificate`, () => {
      const { key } = parsePrivateKey(vector(name));
      const certificate = parsePublicKeyLine(vector(`${name}-user-cert.pub`)).key;
      const w = new Writer();
      writePrivateKey(w, { key, certificate });
      const r = new Reader(w.finish());
      const pair = readPrivateKey(text.read(r), r);
      assert.equal(r.left, 0);
      assert.ok(pair.key.reveal().equals(key.reveal()));
      assert.ok(pair.certificate && sameKey(pair.certificate, certificate));
    });

    test(`${name} with the certificate of another key is refused`, async () => {
      const other = await generateKey("ed25519");
      const { key } = parsePrivateKey(vector(name));
      const certificate = parsePublicKeyLine(vector(`${name}-user-cert.pub`)).key;
      const w = new Writer();
      writePrivateKey(w, { key: name === "ed25519" ? other : key, certificate });
      const bytes = Buffer.from(w.finish());
      // For the kinds that leave the public part to the certificate, another secret has to do.
      if (name !== "ed25519") bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 2;
      const r = new Reader(bytes);
      assert.throws(
        () => readPrivateKey(text.read(r), r),
        (err) => err instanceof Fault,
      );
    });
  }
});

test("a signer's answer is a signature blob of its own", async () => {
  const { key } = parsePrivateKey(vector("ecdsa521"));
  const plain = parsePublicKey(key.publicKey.blob);
  for (let i = 0; i < 20; i++) {
    const message = Uint8Array.of(i);
    assert.ok(plain.verify(message, await key.signer().sign(message, plain.type), plain.type));
  }
});
