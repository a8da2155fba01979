import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ciphers, macs } from "../algorithms.ts";

/*
 * Each cipher against another implementation than the one it uses: WebCrypto for AES and HMAC, and for ChaCha20 and
 * Poly1305 the algorithms written out below, which are held to the vectors of RFC 8439.
 */
const { subtle } = globalThis.crypto;
const bytesFrom = (start: number, count: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: count }, (_, i) => (start + 7 * i) & 0xff);

/** A packet as RFC 4253 §6 lays it out, with room for a tag. */
function packet(length: number, tagLength: number): Buffer {
  const slab = Buffer.alloc(4 + length + tagLength);
  slab.writeUInt32BE(length);
  for (let i = 0; i < length; i++) slab[4 + i] = (i * 31) & 0xff;
  return slab;
}

suite("ciphers, against other implementations", () => {
  for (const cipher of ciphers.filter(({ name }) => name.includes("-gcm@"))) {
    test(`${cipher.name}: nonce counts up, length is authenticated`, async () => {
      const keys = {
        key: bytesFrom(1, cipher.keyLength),
        iv: Uint8Array.fromHex("0102030400000000ffffffff"),
        macKey: bytesFrom(0, 0),
      };
      const sealer = cipher.sealer(keys, undefined);
      const webKey = await subtle.importKey("raw", keys.key, "AES-GCM", false, ["decrypt"]);
      for (const iv of ["0102030400000000ffffffff", "010203040000000100000000", "010203040000000100000001"]) {
        const slab = packet(48, 16);
        const plain = Buffer.from(slab.subarray(4, 52));
        sealer.seal(slab, 0, 48, 0);
        const opened = await subtle.decrypt(
          {
            name: "AES-GCM",
            iv: Uint8Array.fromHex(iv),
            additionalData: Uint8Array.from(slab.subarray(0, 4)),
          },
          webKey,
          Uint8Array.from(slab.subarray(4)),
        );
        assert.deepEqual(Buffer.from(opened), plain);
        assert.equal(slab.readUInt32BE(0), 48);
      }
    });
  }

  for (const cipher of ciphers.filter(({ aead }) => !aead)) {
    for (const mac of macs) {
      test(`${cipher.name} with ${mac.name}: one key stream, tag over ${mac.etm ? "what is sent" : "the plain packet"}`, async () => {
        const keys = {
          key: bytesFrom(1, cipher.keyLength),
          iv: bytesFrom(9, 16),
          macKey: bytesFrom(5, mac.length),
        };
        const sealer = cipher.sealer(keys, mac);
        const hash = mac.hash === "sha256" ? "SHA-256" : "SHA-512";
        const [aes, hmac] = await Promise.all([
          subtle.importKey("raw", keys.key, "AES-CTR", false, ["encrypt"]),
          subtle.importKey("raw", keys.macKey, { name: "HMAC", hash }, false, ["sign"]),
        ]);
        const clear = mac.etm ? 4 : 0;
        const length = mac.etm ? 48 : 44;
        const zeros = new Uint8Array(2 * (4 + length - clear));
        const stream = Buffer.from(
          await subtle.encrypt({ name: "AES-CTR", counter: keys.iv, length: 128 }, aes, zeros),
        );
        for (const sequence of [0, 0xffff_ffff]) {
          const slab = packet(length, mac.length);
          const plain = Buffer.from(slab.subarray(0, 4 + length));
          sealer.seal(slab, 0, length, sequence);
          const sent = slab.subarray(0, 4 + length);
          const from = sequence === 0 ? 0 : 4 + length - clear;
          for (let i = clear; i < sent.length; i++) {
            assert.equal(sent[i], (plain[i] as number) ^ (stream[from + i - clear] as number));
          }
          const counter = Buffer.alloc(4);
          counter.writeUInt32BE(sequence);
          const signed = Uint8Array.from(Buffer.concat([counter, mac.etm ? sent : plain]));
          assert.deepEqual(slab.subarray(4 + length), Buffer.from(await subtle.sign("HMAC", hmac, signed)));
        }
      });
    }
  }

  test("chacha20 and poly1305 written out below give the vectors of RFC 8439 §2.3.2 and §2.5.2", () => {
    const state = chachaBlock(
      Uint8Array.from({ length: 32 }, (_, i) => i),
      [1, 0x09000000, 0x4a000000, 0],
    );
    assert.equal(
      Buffer.from(state).toString("hex"),
      "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
    );
    const key = Uint8Array.fromHex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
    assert.equal(
      Buffer.from(poly1305(key, Buffer.from("Cryptographic Forum Research Group"))).toString("hex"),
      "a8061dc1305136c6c22b8baf0c0127a9",
    );
  });

  for (const sequence of [0, 5, 0xffff_ffff]) {
    test(`chacha20-poly1305@openssh.com at sequence number ${sequence} is as PROTOCOL.chacha20poly1305 says`, () => {
      const cipher = ciphers.find(({ name }) => name === "chacha20-poly1305@openssh.com");
      assert.ok(cipher);
      const key = bytesFrom(3, 64);
      const slab = packet(200, 16);
      const plain = Buffer.from(slab);
      cipher
        .sealer({ key, iv: bytesFrom(0, 0), macKey: bytesFrom(0, 0) }, undefined)
        .seal(slab, 0, 200, sequence);
      // The 64-bit nonce is big-endian, its words are read little-endian.
      const nonce = [0, swap32(sequence)] as const;
      const want = Buffer.alloc(220);
      const lengthStream = chachaBlock(key.subarray(32), [0, 0, ...nonce]);
      for (let i = 0; i < 4; i++) want[i] = (plain[i] as number) ^ (lengthStream[i] as number);
      for (let i = 0; i < 200; i++) {
        const block = chachaBlock(key.subarray(0, 32), [1 + (i >> 6), 0, ...nonce]);
        want[4 + i] = (plain[4 + i] as number) ^ (block[i & 63] as number);
      }
      const macKey = chachaBlock(key.subarray(0, 32), [0, 0, ...nonce]).subarray(0, 32);
      want.set(poly1305(macKey, want.subarray(0, 204)), 204);
      assert.equal(slab.toString("hex"), want.toString("hex"));
    });
  }
});

const swap32 = (n: number): number =>
  Buffer.from([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]).readUInt32LE();

/** RFC 8439 §2.3 with the last four words of the state given. */
function chachaBlock(key: Uint8Array, tail: readonly [number, number, number, number]): Uint8Array {
  const k = Buffer.from(key);
  const initial = Uint32Array.of(
    0x61707865,
    0x3320646e,
    0x79622d32,
    0x6b206574,
    ...Array.from({ length: 8 }, (_, i) => k.readUInt32LE(4 * i)),
    ...tail,
  );
  const x = Uint32Array.from(initial);
  const at = (i: number): number => x[i] as number;
  const step = (a: number, b: number, d: number, by: number): void => {
    x[a] = at(a) + at(b);
    const v = at(d) ^ at(a);
    x[d] = (v << by) | (v >>> (32 - by));
  };
  const quarter = (a: number, b: number, c: number, d: number): void => {
    step(a, b, d, 16);
    step(c, d, b, 12);
    step(a, b, d, 8);
    step(c, d, b, 7);
  };
  for (let round = 0; round < 10; round++) {
    quarter(0, 4, 8, 12);
    quarter(1, 5, 9, 13);
    quarter(2, 6, 10, 14);
    quarter(3, 7, 11, 15);
    quarter(0, 5, 10, 15);
    quarter(1, 6, 11, 12);
    quarter(2, 7, 8, 13);
    quarter(3, 4, 9, 14);
  }
  const out = Buffer.alloc(64);
  for (let i = 0; i < 16; i++) out.writeUInt32LE((at(i) + (initial[i] as number)) >>> 0, 4 * i);
  return out;
}

/** RFC 8439 §2.5. */
function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const number = (bytes: Uint8Array): bigint =>
    BigInt(`0x${Buffer.from(bytes).reverse().toString("hex") || "0"}`);
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const p = 2n ** 130n - 5n;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + number(block) + (1n << BigInt(8 * block.length))) * r) % p;
  }
  const tag = (sum + number(key.subarray(16, 32))) % 2n ** 128n;
  return Buffer.from(tag.toString(16).padStart(32, "0"), "hex").reverse();
}
