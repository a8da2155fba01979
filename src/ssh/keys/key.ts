/**
 * A public key of SSH-2, plain or as an OpenSSH certificate. `blob` is what the wire carries (RFC 4253 §6.6).
 * Two keys are the same when their blobs are.
 */
export interface PublicKey {
  /** Key format name, e.g. `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, `ssh-ed25519-cert-v01@openssh.com`. */
  readonly type: string;
  readonly blob: Uint8Array;
  /** Signature algorithms this key may be used with, best first, plain names: `["rsa-sha2-512", "rsa-sha2-256"]`; never SHA-1. */
  readonly algorithms: readonly string[];
  /** Present when this is a certificate (OpenSSH PROTOCOL.certkeys). */
  readonly certificate?: Certificate;
  /**
   * Whether `signature` (an SSH signature blob: algorithm name, then its bytes) signs `data` by this key, with exactly
   * `algorithm`. For `sk-` keys the user must have been present (touch). Never throws on hostile input.
   */
  verify(data: Uint8Array, signature: Uint8Array, algorithm: string): boolean;
}

/** What an OpenSSH certificate says (PROTOCOL.certkeys). Nothing here is believed before `checkCertificate`. */
export interface Certificate {
  readonly type: "user" | "host";
  /** The key that is certified, plain. */
  readonly key: PublicKey;
  readonly serial: bigint;
  readonly keyId: string;
  readonly principals: readonly string[];
  /** Seconds since the Unix epoch; up to 2^64-1, which means no limit. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: ReadonlyMap<string, string>;
  readonly extensions: ReadonlyMap<string, string>;
  readonly signatureKey: PublicKey;
}

/** Something that signs as a public key: a private key in memory, or one held by an agent. */
export interface Signer {
  /** The key as it is offered to a peer: plain, or the certificate. */
  readonly publicKey: PublicKey;
  /** Signing bothers someone, a person or an agent: ask first whether the server would take the key (RFC 4252 §7). */
  readonly askFirst?: boolean;
  /** Signs with one of `publicKey.algorithms`; the answer is an SSH signature blob. */
  sign(data: Uint8Array, algorithm: string): Promise<Uint8Array>;
}
