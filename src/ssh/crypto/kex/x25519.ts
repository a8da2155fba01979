import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto";
import { Fault } from "#core/errors";
import { mpint, Writer } from "../../wire/codec.ts";
import type { KeyExchange } from "./kex.ts";

export const x25519Length = 32;

/** An X25519 key, a fresh one unless given: its public value, and the 32-byte agreement with the peer's (RFC 7748 §6.1). */
export function x25519Key(privateKey: KeyObject = generateKeyPairSync("x25519").privateKey): {
  value: Uint8Array;
  agree(peer: Uint8Array): Uint8Array;
} {
  const publicKey = createPublicKey(privateKey);
  return { value: publicKey.export({ format: "raw-public" }), agree: (peer) => agree(privateKey, peer) };
}

function agree(privateKey: KeyObject, peer: Uint8Array): Uint8Array {
  if (peer.length !== x25519Length)
    throw new Fault("protocol", `an X25519 value has ${x25519Length} bytes, not ${peer.length}`);
  try {
    const publicKey = createPublicKey({ key: peer, format: "raw-public", asymmetricKeyType: "x25519" });
    // OpenSSL refuses the all-zero result that a point of low order gives (RFC 8731 §3).
    return diffieHellman({ privateKey, publicKey });
  } catch (cause) {
    throw new Fault("protocol", "the other side's X25519 value is of low order", { cause });
  }
}

/** RFC 8731. */
export const curve25519 = (name: string): KeyExchange => ({
  name,
  hash: "sha256",
  start() {
    const key = x25519Key();
    return { value: key.value, finish: (peer) => asMpint(key.agree(peer)) };
  },
  answer(peer) {
    const key = x25519Key();
    return { value: key.value, secret: asMpint(key.agree(peer)) };
  },
});

/** A shared secret that enters hashes as an mpint (RFC 4253 §8). */
export function asMpint(secret: Uint8Array): Uint8Array {
  const w = new Writer();
  mpint.write(w, secret);
  return w.finish();
}
