import { type Clock, hour, type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { type Offer, userSignatureAlgorithms } from "../crypto/algorithms.ts";
import type { Agreed } from "../crypto/negotiate.ts";
import type { PublicKey } from "../keys/key.ts";
import type { RekeyLimits } from "../server.ts";
import { Debug, ExtInfo, KexInit } from "../wire/transport.ts";
import {
  type ClientParty,
  type ExchangePort,
  exchangeKeys,
  ourKexInit,
  type ServerParty,
} from "./exchange.ts";
import type { Outbox } from "./outbox.ts";
import type { PacketReader } from "./reader.ts";

/** When new keys are asked for, if nothing else is said (RFC 4253 §9, RFC 4344 §3.1). */
const rekeyBytes = 2 ** 30;
const rekeyEvery = hour;
const rekeyPackets = 2 ** 31;
/** A sequence number that came again under one key would repeat a nonce or a MAC's input. */
const maxPackets = 2 ** 32 - 1;
/** Key exchanges before the login: one is what everybody needs, and each costs us a signature. */
const maxBeforeLogin = 4;
/** How long a later key exchange may take; the first is under the caller's signal. */
const exchangeTimeout = minute;

export interface KeyExchangesParts {
  readonly party: ClientParty | ServerParty;
  readonly offer: Offer;
  readonly rekey: RekeyLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly reader: PacketReader;
  readonly outbox: Outbox;
  /** Asked to read on, after `isThinking` was true. */
  readonly resume: () => void;
  readonly onFirstDone: () => void;
  readonly onFault: (err: unknown) => void;
}

/** All key exchanges of one connection, one after the other: when they begin, and what may not be said meanwhile. */
export class KeyExchanges {
  readonly #parts: KeyExchangesParts;
  /** A message of the exchange is being thought about; no packet may be read. */
  isThinking = false;
  /** From our KEXINIT to both NEWKEYS. */
  isActive = false;
  /** From the peer's KEXINIT (at first: from the beginning) to its NEWKEYS it may say little else. */
  peerIsActive = true;
  /** How many are complete. */
  count = 0;
  sessionId: Uint8Array | undefined;
  hostKey: PublicKey | undefined;

  #versions = { clientVersion: "", serverVersion: "" };
  #strict = false;
  #peerTakesExtInfo = false;
  #ourInit: Uint8Array | undefined;
  #asked: PromiseWithResolvers<Uint8Array> | undefined;
  #timer = new AbortController();
  #closed = false;
  #mayRekey = false;
  #rekeyAt = rekeyBytes;

  constructor(parts: KeyExchangesParts) {
    this.#parts = parts;
  }

  /** Sends our first KEXINIT, which may be before the peer's version is known. */
  open(): void {
    this.#sendInit();
  }

  /** Begins the first exchange; `open` came before. Version lines are without CR LF. */
  begin(versions: { clientVersion: string; serverVersion: string }): void {
    this.#versions = versions;
    this.#run();
  }

  /** Takes a KEXINIT, NEWKEYS or message 30 to 49 of the peer. Throws a `protocol` fault when it is out of place. */
  take(id: number, payload: Uint8Array): void {
    if (id === KexInit.id) {
      if (!this.#mayRekey && this.count >= maxBeforeLogin)
        throw new Fault("protocol", "too many key exchanges before the login");
      if (!this.isActive) {
        this.#sendInit();
        this.#run();
      }
      this.peerIsActive = true;
    }
    const asked = this.#asked;
    if (asked === undefined || !this.peerIsActive)
      throw new Fault("protocol", `key exchange message ${id} outside a key exchange`);
    this.#asked = undefined;
    this.isThinking = true;
    asked.resolve(payload);
  }

  /**
   * Throws a `protocol` fault when the peer may not say message `id` now: RFC 4253 §7.1; nothing at all in a strict first
   * exchange, where who adds a message on the way could drop another later.
   */
  permit(id: number): void {
    if (this.peerIsActive && (id > Debug.id || (this.#strict && this.count === 0)))
      throw new Fault("protocol", `message ${id} in the middle of a key exchange`);
  }

  /** From now on new keys are asked for when it is time. Not before login, so that an attacker cannot have us work. */
  allowRekeying(): void {
    this.#mayRekey = true;
  }

  /** Looks whether the present keys have served long enough. Cheap: called for every packet sent. */
  check(): void {
    const { reader, outbox } = this.#parts;
    if (outbox.writer.bytes > this.#rekeyAt || reader.bytes > this.#rekeyAt) this.rekey();
    if (outbox.writer.packets > rekeyPackets || reader.packets > rekeyPackets) {
      this.rekey();
      if (outbox.writer.packets >= maxPackets || reader.packets >= maxPackets)
        this.#parts.onFault(new Fault("protocol", "the other side never agrees on new keys"));
    }
  }

  close(reason: Fault): void {
    this.#closed = true;
    this.#timer.abort();
    this.#asked?.reject(reason);
  }

  /** Asks for new keys now, where that may be. */
  rekey(): void {
    if (this.isActive || this.#closed || !this.#mayRekey) return;
    this.#sendInit();
    this.#run();
  }

  #sendInit(): void {
    const { party, offer, outbox } = this.#parts;
    outbox.hold();
    this.#ourInit = ourKexInit(party.role, offer, this.sessionId === undefined);
    outbox.writer.packet(this.#ourInit);
  }

  /** Runs an exchange whose KEXINIT we have sent. */
  #run(): void {
    this.isActive = true;
    const { offer, rekey, onFault, onFirstDone, resume } = this.#parts;
    if (this.count > 0) {
      this.#after(exchangeTimeout, () =>
        onFault(new Fault("unreachable", "the other side did not finish a key exchange in time")),
      );
    }
    const context = { offer, party: this.#party(), ...this.#versions, sessionId: this.sessionId };
    exchangeKeys(this.#port, context, this.#ourInit as Uint8Array)
      .then(({ sessionId, hostKey }) => {
        this.sessionId = sessionId;
        this.hostKey = hostKey;
        this.isActive = false;
        this.isThinking = false;
        this.#after(rekey.every ?? rekeyEvery, () => this.rekey());
        if (++this.count === 1) onFirstDone();
        resume();
      })
      .catch(onFault);
  }

  /** In a later exchange the host key that was accepted is not asked about again. */
  #party(): ClientParty | ServerParty {
    const { party } = this.#parts;
    const known = this.hostKey;
    if (party.role === "server" || known === undefined) return party;
    return {
      ...party,
      verifyHost: (key) => (Buffer.compare(key.blob, known.blob) === 0 ? undefined : party.verifyHost(key)),
    };
  }

  readonly #port: ExchangePort = {
    next: () => {
      this.#asked = Promise.withResolvers();
      const { promise } = this.#asked;
      this.isThinking = false;
      this.#parts.resume();
      return promise;
    },
    send: (payload) => {
      if (!this.#closed) this.#parts.outbox.writer.packet(payload);
    },
    agreed: (agreed) => this.#onAgreed(agreed),
    sealWith: (sealer) => {
      const { party, outbox } = this.#parts;
      const tell = party.role === "server" && this.count === 0 && this.#peerTakesExtInfo;
      outbox.release(sealer, this.#strict, tell ? ExtInfo.encode({ extensions: ourExtensions }) : undefined);
    },
    openWith: (opener) => {
      this.#parts.reader.switch(opener, this.#strict);
      this.peerIsActive = false;
    },
  };

  #onAgreed(agreed: Agreed): void {
    const { kex, hostKey, toServer, toClient } = agreed;
    const { reader, rekey, log } = this.#parts;
    if (this.count === 0) {
      this.#strict = agreed.strict;
      this.#peerTakesExtInfo = agreed.peerTakesExtInfo;
      if (this.#strict && reader.sequence !== 1)
        throw new Fault("protocol", "something came before the first message of a strict key exchange");
    }
    this.#rekeyAt = Math.min(rekey.bytes ?? rekeyBytes, toServer.cipher.maxBytes, toClient.cipher.maxBytes);
    log.debug("ssh algorithms agreed", {
      kex: kex.name,
      hostKey: hostKey.name,
      toServer: toServer.cipher.name,
      toClient: toClient.cipher.name,
      strict: this.#strict,
    });
  }

  /** One timer at a time: for the exchange under way, then for the next. */
  #after(ms: Millis, act: () => void): void {
    this.#timer.abort();
    if (this.#closed) return;
    this.#timer = new AbortController();
    this.#parts.clock.sleep(ms, this.#timer.signal, { background: true }).then(act, () => {});
  }
}

/** RFC 8308 §3.1, OpenSSH PROTOCOL §1.9. */
const ourExtensions: ReadonlyMap<string, Uint8Array> = new Map([
  ["server-sig-algs", Buffer.from(userSignatureAlgorithms.join(","), "latin1")],
  ["ping@openssh.com", Buffer.from("0", "latin1")],
]);
