import { createCipheriv, createMac, timingSafeEqual } from "node:crypto";
import { type Cipher, type Opener, type Sealer, tampered } from "./cipher.ts";

declare module "node:crypto" {
  /** In Node since 26; `@types/node` does not know it yet. */
  function createMac(
    algorithm: "poly1305",
    key: Uint8Array,
  ): { update(data: Uint8Array): { final(): Buffer }; final(): Buffer };
}

const tagLength = 16;
/** The first 64-byte block of the key stream: 32 bytes of it are the packet's Poly1305 key. */
const firstBlock = Buffer.alloc(64);

/**
 * OpenSSH PROTOCOL.chacha20poly1305: one key encrypts the length, the other makes the MAC's key and encrypts the rest.
 * The nonce is the sequence number.
 */
export const chacha20Poly1305: Cipher = {
  name: "chacha20-poly1305@openssh.com",
  keyLength: 64,
  ivLength: 0,
  aead: true,
  maxBytes: 2 ** 30,
  sealer: ({ key }) => sealer(key),
  opener: ({ key }) => opener(key),
};

function sealer(key: Uint8Array): Sealer {
  const { mainKey, lengthKey, nonce } = setUp(key);
  return {
    blockSize: 8,
    clear: 4,
    tagLength,
    seal(slab, at, length, sequence) {
      const end = at + 4 + length;
      nonce.writeUInt32BE(sequence, 12);
      slab.set(createCipheriv("chacha20", lengthKey, nonce).update(slab.subarray(at, at + 4)), at);
      const cipher = createCipheriv("chacha20", mainKey, nonce);
      const macKey = cipher.update(firstBlock).subarray(0, 32);
      slab.set(cipher.update(slab.subarray(at + 4, end)), at + 4);
      slab.set(createMac("poly1305", macKey).update(slab.subarray(at, end)).final(), end);
    },
  };
}

function opener(key: Uint8Array): Opener {
  const { mainKey, lengthKey, nonce } = setUp(key);
  return {
    blockSize: 8,
    clear: 4,
    tagLength,
    headLength: 4,
    packetLength(head, sequence) {
      nonce.writeUInt32BE(sequence, 12);
      return createCipheriv("chacha20", lengthKey, nonce).update(head.subarray(0, 4)).readUInt32BE(0);
    },
    open(packet, sequence) {
      const end = packet.length - tagLength;
      nonce.writeUInt32BE(sequence, 12);
      const cipher = createCipheriv("chacha20", mainKey, nonce);
      const macKey = cipher.update(firstBlock).subarray(0, 32);
      const tag = createMac("poly1305", macKey).update(packet.subarray(0, end)).final();
      if (!timingSafeEqual(tag, packet.subarray(end))) throw tampered();
      return cipher.update(packet.subarray(4, end));
    },
  };
}

/** OpenSSL's IV is the 64-bit block counter (little-endian, starts at 0), then the 64-bit nonce (big-endian in SSH). */
const setUp = (key: Uint8Array): { mainKey: Buffer; lengthKey: Buffer; nonce: Buffer } => ({
  mainKey: Buffer.from(key.subarray(0, 32)),
  lengthKey: Buffer.from(key.subarray(32, 64)),
  nonce: Buffer.alloc(16),
});
