import { bytes, rest, text, uint32 } from "./codec.ts";
import { magnitude } from "./keys.ts";
import { structure } from "./structure.ts";

/**
 * Private keys as agents carry them (draft-ietf-sshm-ssh-agent §4.2) and as OpenSSH's key file has them: what follows
 * the type name. With a certificate the public part is inside the certificate and left out (PROTOCOL.certkeys).
 */
export const Ed25519Private = structure("Ed25519 private key", { point: bytes, secret: bytes });
export const EcdsaPrivate = structure("ECDSA private key", { curve: text, point: bytes, scalar: magnitude });
export const RsaPrivate = structure("RSA private key", {
  modulus: magnitude,
  exponent: magnitude,
  privateExponent: magnitude,
  coefficient: magnitude, // of the second prime modulo the first
  firstPrime: magnitude,
  secondPrime: magnitude,
});
export const EcdsaCertified = structure("certified ECDSA private key", { scalar: magnitude });
export const RsaCertified = structure("certified RSA private key", {
  privateExponent: magnitude,
  coefficient: magnitude,
  firstPrime: magnitude,
  secondPrime: magnitude,
});

/** OpenSSH PROTOCOL.key, after the magic string. We read and write files with one key. */
export const KeyFile = structure("OpenSSH private key", {
  cipher: text,
  kdf: text,
  kdfOptions: bytes,
  count: uint32,
  publicKey: bytes,
  secrets: bytes,
});
/** The start of `secrets`; the two numbers are the same when it was decrypted rightly. Key fields, comment and padding follow. */
export const KeyFileSecrets = structure("OpenSSH private key", {
  check: uint32,
  checkAgain: uint32,
  type: text,
  fields: rest,
});
