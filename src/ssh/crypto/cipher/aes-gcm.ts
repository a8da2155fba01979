import { createCipheriv, createDecipheriv, createSecretKey } from "node:crypto";
import { type Cipher, type Opener, type Sealer, tampered } from "./cipher.ts";

const tagLength = 16;
const options = { authTagLength: tagLength };
type Algorithm = "aes-128-gcm" | "aes-256-gcm";

/** RFC 5647 as OpenSSH names it: the length in clear and authenticated, then the rest encrypted, then a 16-byte tag. */
export const aesGcm = (name: string, algorithm: Algorithm, keyLength: number): Cipher => ({
  name,
  keyLength,
  ivLength: 12,
  aead: true,
  maxBytes: 2 ** 36, // 2^32 blocks of 16 bytes
  sealer: ({ key, iv }) => sealer(algorithm, key, iv),
  opener: ({ key, iv }) => opener(algorithm, key, iv),
});

function sealer(algorithm: Algorithm, rawKey: Uint8Array, iv: Uint8Array): Sealer {
  const key = createSecretKey(rawKey);
  const nonce = Buffer.from(iv);
  return {
    blockSize: 16,
    clear: 4,
    tagLength,
    seal(slab, at, length) {
      const from = at + 4;
      const end = from + length;
      // A node cipher is for one message only, so each packet has its own.
      const cipher = createCipheriv(algorithm, key, nonce, options);
      cipher.setAAD(slab.subarray(at, from));
      slab.set(cipher.update(slab.subarray(from, end)), from);
      cipher.final();
      slab.set(cipher.getAuthTag(), end);
      increment(nonce);
    },
  };
}

function opener(algorithm: Algorithm, rawKey: Uint8Array, iv: Uint8Array): Opener {
  const key = createSecretKey(rawKey);
  const nonce = Buffer.from(iv);
  return {
    blockSize: 16,
    clear: 4,
    tagLength,
    headLength: 4,
    packetLength: (head) => head.readUInt32BE(0),
    open(packet) {
      const end = packet.length - tagLength;
      const decipher = createDecipheriv(algorithm, key, nonce, options);
      decipher.setAAD(packet.subarray(0, 4));
      decipher.setAuthTag(packet.subarray(end));
      const plain = decipher.update(packet.subarray(4, end));
      try {
        decipher.final();
      } catch (cause) {
        throw tampered(cause);
      }
      increment(nonce);
      return plain;
    },
  };
}

/** RFC 5647 §7.1: 4 fixed bytes, then a 64-bit counter that wraps. It comes nowhere near a repeat before the next keys. */
function increment(nonce: Buffer): void {
  const low = (nonce.readUInt32BE(8) + 1) >>> 0;
  nonce.writeUInt32BE(low, 8);
  if (low === 0) nonce.writeUInt32BE((nonce.readUInt32BE(4) + 1) >>> 0, 4);
}
