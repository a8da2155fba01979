import { randomBytes } from "node:crypto";
import { Fault } from "#core/errors";
import { fits, type Offer } from "../crypto/algorithms.ts";
import type { Opener, Sealer } from "../crypto/cipher/cipher.ts";
import { exchangeHash, type KeySource, packetKeys } from "../crypto/derive.ts";
import { type Agreed, kexInit, negotiate, type Role } from "../crypto/negotiate.ts";
import type { PublicKey, Signer } from "../keys/key.ts";
import { KexEcdhInit, KexEcdhReply } from "../wire/kex.ts";
import { KexInit, NewKeys } from "../wire/transport.ts";

/** What a key exchange needs of the transport it serves. */
export interface ExchangePort {
  /** The peer's next message of the exchange: KEXINIT, 30 to 49, NEWKEYS. Until it is asked for, nothing is read. */
  next(): Promise<Uint8Array>;
  /** Sends at once, ahead of what waits for the exchange to end. */
  send(payload: Uint8Array): void;
  /** Called when both KEXINITs are known, before anything else is read. Throws to refuse. */
  agreed(agreed: Agreed): void;
  /** Called right after our NEWKEYS, and right after the peer's. */
  sealWith(sealer: Sealer): void;
  openWith(opener: Opener): void;
}

export interface ExchangeContext {
  readonly offer: Offer;
  readonly party: ClientParty | ServerParty;
  readonly clientVersion: string;
  readonly serverVersion: string;
  /** Undefined in the first exchange, whose hash becomes the session id. */
  readonly sessionId: Uint8Array | undefined;
}
export interface ClientParty {
  readonly role: "client";
  /** Throws a `protocol` fault for what is no key. */
  readonly parseHostKey: (blob: Uint8Array) => PublicKey;
  /** Throws to refuse the host. Only asked about keys that have signed the exchange. */
  readonly verifyHost: (key: PublicKey) => void | Promise<void>;
}
export interface ServerParty {
  readonly role: "server";
  readonly hostKeys: readonly Signer[];
}

export interface ExchangeResult {
  readonly sessionId: Uint8Array;
  /** On the client: the key that signed. */
  readonly hostKey: PublicKey | undefined;
}

/** One key exchange, first or later, as RFC 4253 §7 to §8 tells it. Throws a fault when there can be no agreement. */
export async function exchangeKeys(
  port: ExchangePort,
  context: ExchangeContext,
  ourInit: Uint8Array,
): Promise<ExchangeResult> {
  const { party, offer } = context;
  // The payload is kept until the hash is made.
  const peerInit = await port.next();
  const agreed = negotiate(party.role, offer, KexInit.decode(peerInit));
  port.agreed(agreed);
  if (agreed.skipNext) await port.next();

  const inits =
    party.role === "client"
      ? { clientInit: ourInit, serverInit: peerInit }
      : { clientInit: peerInit, serverInit: ourInit };
  const outcome = await (party.role === "client"
    ? asClient(port, party, agreed, { ...context, ...inits })
    : asServer(port, party, agreed, { ...context, ...inits }));

  const source: KeySource = {
    hash: agreed.kex.hash,
    secret: outcome.secret,
    exchangeHash: outcome.hash,
    sessionId: context.sessionId ?? outcome.hash,
  };
  const [outward, inward] =
    party.role === "client" ? (["toServer", "toClient"] as const) : (["toClient", "toServer"] as const);
  port.send(NewKeys.encode({}));
  const sealing = agreed[outward];
  port.sealWith(sealing.cipher.sealer(packetKeys(source, outward, sealing.cipher, sealing.mac), sealing.mac));
  NewKeys.decode(await port.next());
  const opening = agreed[inward];
  port.openWith(opening.cipher.opener(packetKeys(source, inward, opening.cipher, opening.mac), opening.mac));
  return { sessionId: source.sessionId, hostKey: outcome.hostKey };
}

/** Our KEXINIT, with a fresh cookie. */
export const ourKexInit = (role: Role, offer: Offer, first: boolean): Uint8Array =>
  KexInit.encode(kexInit(role, offer, randomBytes(16), first));

interface Seen {
  readonly clientVersion: string;
  readonly serverVersion: string;
  readonly clientInit: Uint8Array;
  readonly serverInit: Uint8Array;
}
interface Outcome {
  readonly secret: Uint8Array;
  readonly hash: Uint8Array;
  readonly hostKey: PublicKey | undefined;
}

async function asClient(
  port: ExchangePort,
  party: ClientParty,
  agreed: Agreed,
  seen: Seen,
): Promise<Outcome> {
  const exchange = agreed.kex.start();
  port.send(KexEcdhInit.encode({ clientValue: exchange.value }));
  const reply = KexEcdhReply.decode(await port.next());
  const secret = exchange.finish(reply.serverValue);
  const hash = exchangeHash(agreed.kex.hash, {
    ...seen,
    hostKey: reply.hostKey,
    clientValue: exchange.value,
    serverValue: reply.serverValue,
    secret,
  });
  const key = party.parseHostKey(Buffer.from(reply.hostKey));
  if (!fits(agreed.hostKey, key))
    throw new Fault(
      "protocol",
      `the host agreed on ${agreed.hostKey.name} and showed a key of type ${key.type}`,
    );
  if (!key.verify(hash, reply.signature, agreed.hostKey.signature))
    throw new Fault("protocol", "the host's signature of the key exchange is wrong");
  await party.verifyHost(key);
  return { secret, hash, hostKey: key };
}

async function asServer(
  port: ExchangePort,
  party: ServerParty,
  agreed: Agreed,
  seen: Seen,
): Promise<Outcome> {
  const { clientValue } = KexEcdhInit.decode(await port.next());
  const { value, secret } = agreed.kex.answer(clientValue);
  // Found: what was offered comes from these signers.
  const signer = party.hostKeys.find(({ publicKey }) => fits(agreed.hostKey, publicKey)) as Signer;
  const hostKey = signer.publicKey.blob;
  const hash = exchangeHash(agreed.kex.hash, { ...seen, hostKey, clientValue, serverValue: value, secret });
  const signature = await signer.sign(hash, agreed.hostKey.signature);
  port.send(KexEcdhReply.encode({ hostKey, serverValue: value, signature }));
  return { secret, hash, hostKey: undefined };
}
