import { createHash } from "node:crypto";
import { Writer } from "../wire/codec.ts";
import type { Cipher, Mac, PacketKeys } from "./cipher/cipher.ts";
import type { KeyExchange } from "./kex/kex.ts";

/** What both sides have seen of an exchange; all of it is signed by the host key. */
export interface Transcript {
  /** Version lines without CR LF. */
  readonly clientVersion: string;
  readonly serverVersion: string;
  /** Payloads of the KEXINITs. */
  readonly clientInit: Uint8Array;
  readonly serverInit: Uint8Array;
  readonly hostKey: Uint8Array;
  readonly clientValue: Uint8Array;
  readonly serverValue: Uint8Array;
  /** K as `KeyExchange` gives it. */
  readonly secret: Uint8Array;
}

/** H, the exchange hash (RFC 4253 §8, RFC 5656 §4). */
export function exchangeHash(hash: KeyExchange["hash"], t: Transcript): Uint8Array {
  const w = new Writer();
  w.string(Buffer.from(t.clientVersion, "latin1"));
  w.string(Buffer.from(t.serverVersion, "latin1"));
  for (const part of [t.clientInit, t.serverInit, t.hostKey, t.clientValue, t.serverValue]) w.string(part);
  w.bytes(t.secret);
  return createHash(hash).update(w.finish()).digest();
}

/** What the keys of both directions come from. */
export interface KeySource {
  readonly hash: KeyExchange["hash"];
  readonly secret: Uint8Array;
  readonly exchangeHash: Uint8Array;
  readonly sessionId: Uint8Array;
}

/** The keys of one direction (RFC 4253 §7.2: A, C, E from client to server, B, D, F back). */
export function packetKeys(
  source: KeySource,
  direction: "toServer" | "toClient",
  cipher: Cipher,
  mac: Mac | undefined,
): PacketKeys {
  const [iv, key, macKey] = direction === "toServer" ? "ACE" : "BDF";
  return {
    iv: derive(source, iv as string, cipher.ivLength),
    key: derive(source, key as string, cipher.keyLength),
    macKey: derive(source, macKey as string, mac?.length ?? 0),
  };
}

function derive(
  { hash, secret, exchangeHash, sessionId }: KeySource,
  letter: string,
  length: number,
): Uint8Array {
  const begin = (): ReturnType<typeof createHash> => createHash(hash).update(secret).update(exchangeHash);
  let key = begin().update(letter).update(sessionId).digest();
  while (key.length < length) key = Buffer.concat([key, begin().update(key).digest()]);
  return key.subarray(0, length);
}
