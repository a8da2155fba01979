import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { Fault } from "#core/errors";
import type { PublicKey, Signer } from "../keys/key.ts";
import { Reader, Writer } from "../wire/codec.ts";

const ed25519 = "ssh-ed25519";

/** A fresh Ed25519 key, for tests of what only needs some key. */
export function testSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    publicKey: testKey(publicKey),
    sign: async (data, algorithm) => pair(algorithm, sign(null, data, privateKey)),
  };
}

/** Reads the blob of a plain Ed25519 key, and no other. */
export function parseTestKey(blob: Uint8Array): PublicKey {
  const r = new Reader(blob);
  const type = Buffer.from(r.string()).toString();
  const raw = r.string();
  if (type !== ed25519 || raw.length !== 32 || r.left > 0)
    throw new Fault("protocol", `not a plain Ed25519 key: ${type}`);
  return testKey(createPublicKey({ key: raw, format: "raw-public", asymmetricKeyType: "ed25519" }));
}

function testKey(key: KeyObject): PublicKey {
  return {
    type: ed25519,
    blob: pair(ed25519, key.export({ format: "raw-public" })),
    algorithms: [ed25519],
    verify(data, signature, algorithm) {
      const r = new Reader(signature);
      return (
        Buffer.from(r.string()).toString() === algorithm &&
        algorithm === ed25519 &&
        verify(null, data, key, r.string())
      );
    },
  };
}

function pair(name: string, bytes: Uint8Array): Uint8Array {
  const w = new Writer();
  w.string(Buffer.from(name));
  w.string(bytes);
  return w.finish();
}
