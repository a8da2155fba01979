import { Fault } from "#core/errors";
import type { PublicKey, Signer } from "../keys/key.ts";
import type { Algorithms } from "../server.ts";
import { aesCtr } from "./cipher/aes-ctr.ts";
import { aesGcm } from "./cipher/aes-gcm.ts";
import { chacha20Poly1305 } from "./cipher/chacha20-poly1305.ts";
import type { Cipher, Mac } from "./cipher/cipher.ts";
import { ecdh } from "./kex/ecdh.ts";
import type { KeyExchange } from "./kex/kex.ts";
import { mlkem768x25519 } from "./kex/mlkem768x25519.ts";
import { curve25519 } from "./kex/x25519.ts";

/** All that we speak, best first. What is not here cannot be negotiated. */
export const keyExchanges: readonly KeyExchange[] = [
  mlkem768x25519,
  curve25519("curve25519-sha256"),
  curve25519("curve25519-sha256@libssh.org"),
  ecdh("nistp256"),
  ecdh("nistp384"),
  ecdh("nistp521"),
];

/** GCM first: with AES in hardware it costs a third of what the others do. */
export const ciphers: readonly Cipher[] = [
  aesGcm("aes128-gcm@openssh.com", "aes-128-gcm", 16),
  aesGcm("aes256-gcm@openssh.com", "aes-256-gcm", 32),
  chacha20Poly1305,
  aesCtr("aes128-ctr", "aes-128-ctr", 16),
  aesCtr("aes192-ctr", "aes-192-ctr", 24),
  aesCtr("aes256-ctr", "aes-256-ctr", 32),
];

export const macs: readonly Mac[] = [
  { name: "hmac-sha2-256-etm@openssh.com", hash: "sha256", length: 32, etm: true },
  { name: "hmac-sha2-512-etm@openssh.com", hash: "sha512", length: 64, etm: true },
  { name: "hmac-sha2-256", hash: "sha256", length: 32, etm: false },
  { name: "hmac-sha2-512", hash: "sha512", length: 64, etm: false },
];

/** A name of the host key list: which keys it stands for, and how they sign. */
export interface HostKeyAlgorithm {
  readonly name: string;
  /** `PublicKey.type` it takes. */
  readonly keyType: string;
  /** One of that key's `algorithms`. */
  readonly signature: string;
}

const signatures = [
  ["ssh-ed25519", "ssh-ed25519"],
  ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"],
  ["ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"],
  ["ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"],
  ["rsa-sha2-512", "ssh-rsa"],
  ["rsa-sha2-256", "ssh-rsa"],
] as const;

/** Certificates first: who has a CA wants it used (OpenSSH PROTOCOL.certkeys, RFC 8332). */
export const hostKeyAlgorithms: readonly HostKeyAlgorithm[] = [
  ...signatures.map(([signature, type]) => ({
    name: `${signature}-cert-v01@openssh.com`,
    keyType: `${type}-cert-v01@openssh.com`,
    signature,
  })),
  ...signatures.map(([signature, keyType]) => ({ name: signature, keyType, signature })),
];

/** Signature algorithms a server takes from users, as told in `server-sig-algs` (RFC 8308 §3.1). */
export const userSignatureAlgorithms: readonly string[] = [
  "ssh-ed25519",
  "sk-ssh-ed25519@openssh.com",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ecdsa-sha2-nistp256@openssh.com",
  "rsa-sha2-512",
  "rsa-sha2-256",
];

/** What one side brings to a negotiation, best first. */
export interface Offer {
  readonly kex: readonly KeyExchange[];
  readonly hostKeys: readonly HostKeyAlgorithm[];
  readonly ciphers: readonly Cipher[];
  readonly macs: readonly Mac[];
}

/** The offer that configured names make. Throws `bad_parameter` for an unknown name, with those that are known. */
export function offer(names: Algorithms = {}): Offer {
  return {
    kex: choose("key exchange", keyExchanges, names.kex),
    hostKeys: choose("host key", hostKeyAlgorithms, names.hostKeys),
    ciphers: choose("cipher", ciphers, names.ciphers),
    macs: choose("MAC", macs, names.macs),
  };
}

/** Narrows an offer to what these host keys can sign: keys in their order, each with its algorithms in the offer's. */
export function withHostKeys(all: Offer, signers: readonly Signer[]): Offer {
  const able = signers.flatMap(({ publicKey }) =>
    all.hostKeys.filter((algorithm) => fits(algorithm, publicKey)),
  );
  return { ...all, hostKeys: [...new Set(able)] };
}

/** Whether `key` is of the kind that `algorithm` names and may sign by it. */
export const fits = (algorithm: HostKeyAlgorithm, key: PublicKey): boolean =>
  key.type === algorithm.keyType && key.algorithms.includes(algorithm.signature);

function choose<T extends { readonly name: string }>(
  what: string,
  known: readonly T[],
  names: readonly string[] | undefined,
): readonly T[] {
  if (names === undefined) return known;
  return names.map((name) => {
    const found = known.find((one) => one.name === name);
    if (found) return found;
    const all = known.map((one) => one.name).join(", ");
    throw new Fault("bad_parameter", `unknown ${what} algorithm ${JSON.stringify(name)}; known are ${all}`);
  });
}
