import { createCipheriv, createDecipheriv, createHmac, createSecretKey, timingSafeEqual } from "node:crypto";
import { type Cipher, type Mac, type Opener, type PacketKeys, type Sealer, tampered } from "./cipher.ts";

type Algorithm = "aes-128-ctr" | "aes-192-ctr" | "aes-256-ctr";

/** RFC 4344 §4: one key stream for the whole direction, with an HMAC (RFC 6668) a packet. */
export const aesCtr = (name: string, algorithm: Algorithm, keyLength: number): Cipher => ({
  name,
  keyLength,
  ivLength: 16,
  aead: false,
  maxBytes: 2 ** 36, // 2^32 blocks of 16 bytes
  sealer: (keys, mac) => sealer(algorithm, keys, mac as Mac),
  opener: (keys, mac) => (mac?.etm ? etmOpener : plainMacOpener)(algorithm, keys, mac as Mac),
});

function sealer(algorithm: Algorithm, keys: PacketKeys, mac: Mac): Sealer {
  const cipher = createCipheriv(algorithm, keys.key, keys.iv);
  const tag = tagger(mac, keys.macKey);
  const clear = mac.etm ? 4 : 0;
  return {
    blockSize: 16,
    clear,
    tagLength: mac.length,
    seal(slab, at, length, sequence) {
      const end = at + 4 + length;
      const from = at + clear;
      if (!mac.etm) slab.set(tag(sequence, slab.subarray(at, end)), end);
      slab.set(cipher.update(slab.subarray(from, end)), from);
      if (mac.etm) slab.set(tag(sequence, slab.subarray(at, end)), end);
    },
  };
}

function etmOpener(algorithm: Algorithm, keys: PacketKeys, mac: Mac): Opener {
  const decipher = createDecipheriv(algorithm, keys.key, keys.iv);
  const tag = tagger(mac, keys.macKey);
  return {
    blockSize: 16,
    clear: 4,
    tagLength: mac.length,
    headLength: 4,
    packetLength: (head) => head.readUInt32BE(0),
    open(packet, sequence) {
      const end = packet.length - mac.length;
      if (!timingSafeEqual(tag(sequence, packet.subarray(0, end)), packet.subarray(end))) throw tampered();
      return decipher.update(packet.subarray(4, end));
    },
  };
}

/** The MAC is of the plain packet, so its first block must be decrypted to learn where the MAC stands. */
function plainMacOpener(algorithm: Algorithm, keys: PacketKeys, mac: Mac): Opener {
  const decipher = createDecipheriv(algorithm, keys.key, keys.iv);
  const tag = tagger(mac, keys.macKey);
  const headLength = 16;
  let plainHead = Buffer.alloc(0);
  return {
    blockSize: 16,
    clear: 0,
    tagLength: mac.length,
    headLength,
    packetLength(head) {
      plainHead = decipher.update(head);
      return plainHead.readUInt32BE(0);
    },
    open(packet, sequence) {
      const end = packet.length - mac.length;
      const plain = Buffer.allocUnsafe(end);
      plain.set(plainHead, 0);
      plain.set(decipher.update(packet.subarray(headLength, end)), headLength);
      if (!timingSafeEqual(tag(sequence, plain), packet.subarray(end))) throw tampered();
      return plain.subarray(4);
    },
  };
}

function tagger(mac: Mac, rawKey: Uint8Array): (sequence: number, packet: Buffer) => Buffer {
  const key = createSecretKey(rawKey);
  const counter = Buffer.alloc(4);
  return (sequence, packet) => {
    counter.writeUInt32BE(sequence, 0);
    return createHmac(mac.hash, key).update(counter).update(packet).digest();
  };
}
