import {
  createHash,
  createPublicKey,
  decapsulate,
  encapsulate,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { Fault } from "#core/errors";
import { Writer } from "../../wire/codec.ts";
import type { KeyExchange } from "./kex.ts";
import { x25519Key, x25519Length } from "./x25519.ts";

const publicKeyLength = 1184;
const ciphertextLength = 1088;

/**
 * draft-ietf-sshm-mlkem-hybrid-kex: ML-KEM-768 and X25519 side by side, so that breaking one is not enough. The client
 * sends its KEM key and its curve value, the server the KEM ciphertext and its curve value.
 */
export const mlkem768x25519: KeyExchange = {
  name: "mlkem768x25519-sha256",
  hash: "sha256",
  start: () => startWith(generateKeyPairSync("ml-kem-768").privateKey, x25519Key()),
  answer(peer) {
    const [kemKey, curveValue] = split(peer, publicKeyLength);
    const { sharedKey, ciphertext } = encapsulateTo(kemKey);
    const curve = x25519Key();
    return {
      value: Buffer.concat([ciphertext, curve.value]),
      secret: combine(sharedKey, curve.agree(curveValue)),
    };
  },
};

/** The client's part with keys that are given. */
export function startWith(
  kem: KeyObject,
  curve: ReturnType<typeof x25519Key>,
): ReturnType<KeyExchange["start"]> {
  return {
    value: Buffer.concat([createPublicKey(kem).export({ format: "raw-public" }), curve.value]),
    finish(peer) {
      const [ciphertext, curveValue] = split(peer, ciphertextLength);
      return combine(decapsulate(kem, ciphertext), curve.agree(curveValue));
    },
  };
}

function split(value: Uint8Array, kemLength: number): [Uint8Array, Uint8Array] {
  if (value.length !== kemLength + x25519Length)
    throw new Fault("protocol", `a hybrid value has ${kemLength + x25519Length} bytes, not ${value.length}`);
  return [value.subarray(0, kemLength), value.subarray(kemLength)];
}

function encapsulateTo(kemKey: Uint8Array): { sharedKey: Uint8Array; ciphertext: Uint8Array } {
  try {
    // The import checks that the key's numbers are below the modulus (FIPS 203 §7.2).
    return encapsulate(
      createPublicKey({ key: kemKey, format: "raw-public", asymmetricKeyType: "ml-kem-768" }),
    );
  } catch (cause) {
    throw new Fault("protocol", "the other side's ML-KEM key is invalid", { cause });
  }
}

/** K is a hash, so it goes into other hashes as a string, not as an mpint. */
function combine(kemSecret: Uint8Array, curveSecret: Uint8Array): Uint8Array {
  const w = new Writer();
  w.string(createHash("sha256").update(kemSecret).update(curveSecret).digest());
  return w.finish();
}
