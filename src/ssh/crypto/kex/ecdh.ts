import { createECDH, type ECDH } from "node:crypto";
import { Fault } from "#core/errors";
import type { KeyExchange } from "./kex.ts";
import { asMpint } from "./x25519.ts";

const curves = {
  nistp256: { openssl: "prime256v1", hash: "sha256", pointLength: 65 },
  nistp384: { openssl: "secp384r1", hash: "sha384", pointLength: 97 },
  nistp521: { openssl: "secp521r1", hash: "sha512", pointLength: 133 },
} as const;

/** RFC 5656 §4. Points are taken uncompressed only, as every peer sends them. */
export function ecdh(curve: keyof typeof curves): KeyExchange {
  const { openssl, hash, pointLength } = curves[curve];
  const agree = (key: ECDH, peer: Uint8Array): Uint8Array => {
    if (peer.length !== pointLength || peer[0] !== 4)
      throw new Fault("protocol", `the other side's value is no uncompressed point of ${curve}`);
    try {
      return asMpint(key.computeSecret(peer)); // checks that the point is on the curve
    } catch (cause) {
      throw new Fault("protocol", `the other side's value is no point of ${curve}`, { cause });
    }
  };
  return {
    name: `ecdh-sha2-${curve}`,
    hash,
    start() {
      const key = createECDH(openssl);
      return { value: key.generateKeys(), finish: (peer) => agree(key, peer) };
    },
    answer(peer) {
      const key = createECDH(openssl);
      return { value: key.generateKeys(), secret: agree(key, peer) };
    },
  };
}
