import assert from "node:assert/strict";
import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { keyExchanges } from "../algorithms.ts";
import type { KeyExchange } from "./kex.ts";
import { startWith } from "./mlkem768x25519.ts";
import { x25519Key } from "./x25519.ts";

const named = (name: string): KeyExchange => {
  const found = keyExchanges.find((one) => one.name === name);
  assert.ok(found);
  return found;
};
const isProtocol = (err: unknown): boolean => Fault.is(err, "protocol");
/** Points of small order, RFC 7748 §7 and the lists that follow from it: 0, 1, two of order 8, p-1, p, p+1. */
const lowOrder = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].map((hex) => Uint8Array.fromHex(hex));

suite("key exchanges", () => {
  for (const kex of keyExchanges) {
    test(`${kex.name}: both sides get one secret, another each time`, () => {
      const secrets = new Set<string>();
      for (let i = 0; i < 20; i++) {
        const client = kex.start();
        const server = kex.answer(client.value);
        const secret = client.finish(server.value).toHex();
        assert.equal(secret, server.secret.toHex());
        secrets.add(secret);
      }
      assert.equal(secrets.size, 20);
    });

    test(`S08: ${kex.name}: values of another length are refused by both sides`, () => {
      const good = kex.start().value;
      const answer = kex.answer(good).value;
      for (const wrong of [
        good.subarray(1),
        Buffer.concat([good, Buffer.alloc(1)]),
        new Uint8Array(0),
        new Uint8Array(65_536),
      ]) {
        assert.throws(() => kex.answer(wrong), isProtocol);
      }
      for (const wrong of [answer.subarray(1), Buffer.concat([answer, Buffer.alloc(1)]), new Uint8Array(0)]) {
        assert.throws(() => kex.start().finish(wrong), isProtocol);
      }
    });
  }

  test("curve25519: the secret is the X25519 output as an mpint", () => {
    const kex = named("curve25519-sha256");
    for (let i = 0; i < 40; i++) {
      const peer = generateKeyPairSync("x25519");
      const { value, secret } = kex.answer(peer.publicKey.export({ format: "raw-public" }));
      const publicKey = createPublicKey({ key: value, format: "raw-public", asymmetricKeyType: "x25519" });
      const number = BigInt(`0x${diffieHellman({ privateKey: peer.privateKey, publicKey }).toString("hex")}`);
      assert.equal(secret.toHex(), mpintOf(number));
    }
  });

  for (const name of ["curve25519-sha256", "curve25519-sha256@libssh.org"]) {
    test(`S08: ${name} refuses points of low order`, () => {
      for (const point of lowOrder) {
        assert.throws(() => named(name).answer(point), isProtocol);
        assert.throws(() => named(name).start().finish(point), isProtocol);
      }
    });
  }

  for (const [name, curve] of [
    ["ecdh-sha2-nistp256", "prime256v1"],
    ["ecdh-sha2-nistp384", "secp384r1"],
    ["ecdh-sha2-nistp521", "secp521r1"],
  ] as const) {
    test(`${name}: the secret is the point's x as an mpint`, () => {
      for (let i = 0; i < 20; i++) {
        const peer = createECDH(curve);
        const { value, secret } = named(name).answer(peer.generateKeys());
        assert.equal(secret.toHex(), mpintOf(BigInt(`0x${peer.computeSecret(value).toString("hex")}`)));
      }
    });

    test(`S08: ${name} refuses what is no uncompressed point of its curve`, () => {
      const peer = createECDH(curve);
      const point = peer.generateKeys();
      const offCurve = Buffer.from(point);
      offCurve[point.length - 1] = (offCurve.at(-1) as number) ^ 1;
      const hybrid = Buffer.from(point);
      hybrid[0] = 6;
      const zero = Buffer.alloc(point.length);
      zero[0] = 4;
      for (const wrong of [
        offCurve,
        hybrid,
        zero,
        Buffer.alloc(point.length, 0xff),
        Buffer.from([0]),
        peer.getPublicKey(null, "compressed"),
      ]) {
        assert.throws(() => named(name).answer(wrong), isProtocol);
        assert.throws(() => named(name).start().finish(wrong), isProtocol);
      }
    });
  }

  test("mlkem768x25519: the secret is the hash of both secrets, as a string", () => {
    const { value, finish } = named("mlkem768x25519-sha256").start();
    assert.equal(value.length, 1184 + 32);
    const kemKey = createPublicKey({
      key: value.subarray(0, 1184),
      format: "raw-public",
      asymmetricKeyType: "ml-kem-768",
    });
    const { sharedKey, ciphertext } = encapsulate(kemKey) as unknown as {
      sharedKey: Buffer;
      ciphertext: Buffer;
    };
    const curve = generateKeyPairSync("x25519");
    const publicKey = createPublicKey({
      key: value.subarray(1184),
      format: "raw-public",
      asymmetricKeyType: "x25519",
    });
    const shared = diffieHellman({ privateKey: curve.privateKey, publicKey });
    const secret = finish(Buffer.concat([ciphertext, curve.publicKey.export({ format: "raw-public" })]));
    const hash = createHash("sha256").update(sharedKey).update(shared).digest("hex");
    assert.equal(secret.toHex(), `00000020${hash}`);
  });

  test("mlkem768x25519: a recorded exchange comes to the same secret", () => {
    const file = join(import.meta.dirname, "../../../../test/vectors/kex/mlkem768x25519.json");
    const vector = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
    const bytes = (name: string): Uint8Array => Uint8Array.fromHex(vector[name] ?? "");
    const client = startWith(
      createPrivateKey({ key: bytes("kemSeed"), format: "raw-seed", asymmetricKeyType: "ml-kem-768" }),
      x25519Key(
        createPrivateKey({ key: bytes("curveKey"), format: "raw-private", asymmetricKeyType: "x25519" }),
      ),
    );
    const sum = createHash("sha256").update(client.value).digest("hex");
    assert.equal(sum, vector.clientValueSha256);
    assert.equal(client.finish(bytes("serverValue")).toHex(), vector.secret);
  });

  test("S08: mlkem768x25519 refuses a KEM key out of range and curve points of low order", () => {
    const kex = named("mlkem768x25519-sha256");
    const good = kex.start().value;
    assert.throws(
      () => kex.answer(Buffer.concat([Buffer.alloc(1184, 0xff), good.subarray(1184)])),
      isProtocol,
    );
    for (const point of lowOrder) {
      assert.throws(() => kex.answer(Buffer.concat([good.subarray(0, 1184), point])), isProtocol);
      assert.throws(() => kex.start().finish(Buffer.concat([Buffer.alloc(1088), point])), isProtocol);
    }
  });
});

function mpintOf(number: bigint): string {
  const hex = number.toString(16);
  const even = hex.length % 2 === 1 ? `0${hex}` : hex;
  const signed = Number.parseInt(even.slice(0, 2), 16) >= 0x80 ? `00${even}` : even;
  return (signed.length / 2).toString(16).padStart(8, "0") + signed;
}
