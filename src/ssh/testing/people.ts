import { Fault } from "#core/errors";
import {
  generateKey,
  issueCertificate,
  noExpiry,
  type PrivateKey,
  type PublicKey,
  sameKey,
} from "../keys/index.ts";
import type { PublicKeyAttempt } from "../server.ts";
import { settle, type TestTransport } from "./packet-pair.ts";

/** Keys of users that log in, and of an authority. */
export interface People {
  readonly alice: PrivateKey;
  readonly bob: PrivateKey;
  readonly rsa: PrivateKey;
  readonly ca: PrivateKey;
}

export const people = async (): Promise<People> => ({
  alice: await generateKey("ed25519"),
  bob: await generateKey("ed25519"),
  rsa: await generateKey("rsa-2048"),
  ca: await generateKey("ed25519"),
});

/** A `check` that takes some turns. The identity is the name of the key, so that a mix-up shows. */
/** Identity is the name of the key, so that a mix-up shows. */
export const known =
  (keys: Record<string, PrivateKey>) =>
  async ({ key }: PublicKeyAttempt): Promise<string> => {
    await settle(1);
    for (const [name, one] of Object.entries(keys)) if (sameKey(one.publicKey, key)) return name;
    throw new Fault("access_denied", "unknown key");
  };

/** A certificate of `ca` for `key`, good for the login `root`. */
export async function certified(
  ca: PrivateKey,
  key: PrivateKey,
  extra: { criticalOptions?: Map<string, string> } = {},
): Promise<PublicKey> {
  return issueCertificate(
    {
      key: key.publicKey,
      type: "user",
      keyId: "alice",
      serial: 1n,
      principals: ["root"],
      validAfter: 0n,
      validBefore: noExpiry,
      ...extra,
    },
    ca.signer(),
  );
}

/** The message numbers that an end was sent. */
export const sent = (end: TestTransport): number[] => end.received.map((payload) => payload[0] as number);
