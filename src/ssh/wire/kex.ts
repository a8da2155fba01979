import { bytes, message, upTo } from "./codec.ts";

/** Longest exchange value, key or signature that is read: ML-KEM-768 needs 1216 bytes, an RSA certificate a few KiB. */
const value = upTo(16 * 1024, bytes);

/** RFC 5656 §4, RFC 8731 §3, and the hybrid methods: the client's public value(s). */
export const KexEcdhInit = message(30, "SSH_MSG_KEX_ECDH_INIT", { clientValue: value });

/** The server's host key, its public value(s), and its signature of the exchange hash. */
export const KexEcdhReply = message(31, "SSH_MSG_KEX_ECDH_REPLY", {
  hostKey: value,
  serverValue: value,
  signature: value,
});
