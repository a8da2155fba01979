/**
 * A key exchange of two messages: the client's public value, the server's answer. Values that cannot be right (length,
 * point, low order) throw a `protocol` fault. `secret` is K as it enters hashes: with its length, and as mpint or string.
 */
export interface KeyExchange {
  readonly name: string;
  readonly hash: "sha256" | "sha384" | "sha512";
  /** The client's part: send `value`, give the server's to `finish`, once. */
  start(): { readonly value: Uint8Array; finish(serverValue: Uint8Array): Uint8Array };
  /** The server's part. */
  answer(clientValue: Uint8Array): { readonly value: Uint8Array; readonly secret: Uint8Array };
}
