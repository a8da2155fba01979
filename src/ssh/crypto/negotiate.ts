import { Fault } from "#core/errors";
import type { KexInit } from "../wire/transport.ts";
import type { HostKeyAlgorithm, Offer } from "./algorithms.ts";
import type { Cipher, Mac } from "./cipher/cipher.ts";
import type { KeyExchange } from "./kex/kex.ts";

export type Role = "client" | "server";

/** Words in the key exchange list of a first KEXINIT that are no algorithms. */
const strictMarker = { client: "kex-strict-c-v00@openssh.com", server: "kex-strict-s-v00@openssh.com" };
const extInfoMarker = { client: "ext-info-c", server: "ext-info-s" };
const other = (role: Role): Role => (role === "client" ? "server" : "client");

export interface Agreed {
  readonly kex: KeyExchange;
  readonly hostKey: HostKeyAlgorithm;
  readonly toServer: { readonly cipher: Cipher; readonly mac: Mac | undefined };
  readonly toClient: { readonly cipher: Cipher; readonly mac: Mac | undefined };
  /** The peer announced a key exchange packet behind its KEXINIT and guessed wrong: it is to be ignored (RFC 4253 §7). */
  readonly skipNext: boolean;
  /** Only told by a first KEXINIT: both sides follow strict key exchange (OpenSSH PROTOCOL §1.10). */
  readonly strict: boolean;
  /** Only told by a first KEXINIT: the peer takes EXT_INFO (RFC 8308 §2.1). */
  readonly peerTakesExtInfo: boolean;
}

/** The KEXINIT for what we offer. The markers belong into the first of a connection only. */
export function kexInit(role: Role, offer: Offer, cookie: Uint8Array, first: boolean): KexInit {
  const names = (all: readonly { readonly name: string }[]): string[] => all.map(({ name }) => name);
  return {
    cookie,
    kex: [...names(offer.kex), ...(first ? [extInfoMarker[role], strictMarker[role]] : [])],
    hostKeys: names(offer.hostKeys),
    ciphersToServer: names(offer.ciphers),
    ciphersToClient: names(offer.ciphers),
    macsToServer: names(offer.macs),
    macsToClient: names(offer.macs),
    compressionToServer: ["none"],
    compressionToClient: ["none"],
    languagesToServer: [],
    languagesToClient: [],
    firstKexPacketFollows: false,
    reserved: 0,
  };
}

/** What both sides agree on (RFC 4253 §7.1): of each list the client's first that the server has too. */
export function negotiate(role: Role, offer: Offer, theirs: KexInit): Agreed {
  const pick = <T extends { readonly name: string }>(what: string, ours: readonly T[], peer: string[]): T => {
    const chosen =
      role === "client"
        ? ours.find(({ name }) => peer.includes(name))
        : ours.find(({ name }) => name === peer.find((one) => ours.some((known) => known.name === one)));
    if (chosen) return chosen;
    const own = ours.map(({ name }) => name).join(", ");
    throw new Fault("protocol", `no common ${what}: the other side knows ${peer.join(", ")}; we know ${own}`);
  };
  const direction = (ciphers: string[], macs: string[]): { cipher: Cipher; mac: Mac | undefined } => {
    const cipher = pick("cipher", offer.ciphers, ciphers);
    return { cipher, mac: cipher.aead ? undefined : pick("MAC", offer.macs, macs) };
  };
  const kex = pick("key exchange", offer.kex, theirs.kex);
  const hostKey = pick("host key algorithm", offer.hostKeys, theirs.hostKeys);
  for (const names of [theirs.compressionToServer, theirs.compressionToClient]) {
    pick("compression", [{ name: "none" }], names);
  }
  const guessedRight = theirs.kex[0] === offer.kex[0]?.name && theirs.hostKeys[0] === offer.hostKeys[0]?.name;
  return {
    kex,
    hostKey,
    toServer: direction(theirs.ciphersToServer, theirs.macsToServer),
    toClient: direction(theirs.ciphersToClient, theirs.macsToClient),
    skipNext: theirs.firstKexPacketFollows && !guessedRight,
    strict: theirs.kex.includes(strictMarker[other(role)]),
    peerTakesExtInfo: theirs.kex.includes(extInfoMarker[other(role)]),
  };
}
