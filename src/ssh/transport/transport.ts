import type { Duplex } from "node:stream";
import { type Clock, hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { type Offer, userSignatureAlgorithms } from "../crypto/algorithms.ts";
import type { Agreed } from "../crypto/negotiate.ts";
import type { PublicKey } from "../keys/key.ts";
import type { RekeyLimits } from "../server.ts";
import {
  Debug,
  Disconnect,
  ExtInfo,
  Ignore,
  KexInit,
  NewKeys,
  Ping,
  Pong,
  ServiceAccept,
  ServiceRequest,
  Unimplemented,
} from "../wire/transport.ts";
import { asFault, type Farewell, farewell, linger, peerLeft, printable } from "./ending.ts";
import {
  type ClientParty,
  type ExchangePort,
  exchangeKeys,
  ourKexInit,
  type ServerParty,
} from "./exchange.ts";
import { DisconnectReason, type PacketTransport } from "./packets.ts";
import { PacketReader } from "./reader.ts";
import { type RemoteVersion, VersionReader } from "./version.ts";
import { PacketWriter } from "./writer.ts";

/** `send` says false above this; `drain` resolves below half of it. Bytes. */
const highWater = 1024 * 1024;
/** More than this unsent is a peer that makes us write and does not read, or a caller deaf to `send`'s false. */
const maxBuffered = 32 * 1024 * 1024;
/** Answers (PONG, UNIMPLEMENTED) that may wait for a peer that does not read. */
const maxUnreadAnswers = 1000;
const rekeyBytes = 2 ** 30;
const rekeyPackets = 2 ** 31;
const maxPackets = 2 ** 32 - 1;
/** How long a later key exchange may take; the first is under the caller's signal. */
const exchangeTimeout = minute;

export interface TransportParts {
  readonly stream: Duplex;
  readonly party: ClientParty | ServerParty;
  readonly offer: Offer;
  /** Our version line without CR LF. */
  readonly version: string;
  /** What stands before our version line; a function is asked once the peer's version is known. */
  readonly preamble: Uint8Array | ((remoteVersion: string) => Uint8Array | undefined) | undefined;
  readonly rekey: RekeyLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** RFC 4253 over one byte stream. Nothing it is handed by the stream makes it throw: it ends with a fault. */
export class Transport implements PacketTransport {
  readonly role: "client" | "server";
  readonly extensions = new Map<string, Uint8Array>();
  readonly closed: Promise<Fault | undefined>;
  /** Resolves after the first key exchange; rejects when there is none. */
  readonly ready: Promise<void>;

  readonly #parts: TransportParts;
  readonly #reader = new PacketReader();
  readonly #writer: PacketWriter;
  readonly #close = Promise.withResolvers<Fault | undefined>();
  readonly #start = Promise.withResolvers<void>();
  #versions: VersionReader | undefined;
  #remote: RemoteVersion | undefined;
  #sessionId: Uint8Array | undefined;
  #hostKey: PublicKey | undefined;
  #authenticated = false;
  #over = false;

  // The key exchange under way, and what both sides may not do meanwhile.
  #exchanging = false;
  /** From the peer's KEXINIT (at first: from the beginning) to its NEWKEYS it may send little else. */
  #peerExchanging = true;
  #exchanges = 0;
  #strict = false;
  #peerTakesExtInfo = false;
  #ourInit: Uint8Array | undefined;
  #asked: PromiseWithResolvers<Uint8Array> | undefined;
  #timer = new AbortController();
  #rekeyAt = rekeyBytes;

  // Outgoing payloads that wait for our NEWKEYS.
  #holdingBack = true;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #drained: PromiseWithResolvers<void> | undefined;
  #unreadAnswers = 0;

  // Incoming packets: none is read while one is being thought about.
  #handler: ((payload: Uint8Array) => void) | undefined;
  #early: Uint8Array | undefined;
  #held = false;
  #pumping = false;

  constructor(parts: TransportParts) {
    this.#parts = parts;
    this.role = parts.party.role;
    this.closed = this.#close.promise;
    this.ready = this.#start.promise;
    this.#writer = new PacketWriter(parts.stream, this.#onTaken);
    this.#versions = new VersionReader(this.role === "client" ? "server" : "client");
    const { stream, signal } = parts;
    if ("setNoDelay" in stream && typeof stream.setNoDelay === "function") stream.setNoDelay(true);
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
    stream.on("error", this.#onError);
    stream.on("close", this.#onClose);
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    else if (stream.destroyed) this.#onEnd();
    else if (typeof parts.preamble !== "function") this.#greet(parts.preamble);
  }

  get sessionId(): Uint8Array {
    if (this.#sessionId === undefined)
      throw new Fault("internal", "there is no session before the first key exchange");
    return this.#sessionId;
  }
  get remoteVersion(): string {
    return this.#remote?.version ?? "";
  }
  get clientAddress(): string | undefined {
    return this.#remote?.clientAddress;
  }
  get hostKey(): PublicKey | undefined {
    return this.#hostKey;
  }
  get buffered(): number {
    return this.#writer.pending + this.#waitingBytes;
  }

  send(head: Uint8Array, data?: Uint8Array): boolean {
    if (this.#over) return false;
    if (this.#holdingBack) this.#holdBack(head, data);
    else {
      this.#writer.packet(head, data);
      if (this.#writer.bytes > this.#rekeyAt || this.#writer.packets > rekeyPackets) this.#keysAreOld();
    }
    const { buffered } = this;
    if (buffered < highWater) return true;
    if (buffered > maxBuffered)
      this.#fail(new Fault("limit_exceeded", "the other side does not read what it is sent"));
    return false;
  }

  drain(): Promise<void> {
    if (this.#over || this.buffered < highWater) return Promise.resolve();
    this.#drained ??= Promise.withResolvers();
    return this.#drained.promise;
  }

  receive(handler: (payload: Uint8Array) => void): void {
    this.#handler = handler;
    const early = this.#early;
    if (early === undefined) return;
    this.#early = undefined;
    this.#pump(early);
  }

  unimplemented(): void {
    this.#answer(Unimplemented.encode({ sequence: (this.#reader.sequence - 1) >>> 0 }));
  }

  authenticated(): void {
    this.#authenticated = true;
    this.#reader.allowLargePackets();
  }

  disconnect(reason: number, message: string): void {
    this.#end(undefined, { reason, message });
  }

  // ---- incoming

  readonly #onData = (chunk: Buffer): void => {
    try {
      if (this.#versions === undefined) this.#reader.push(chunk);
      else this.#readVersion(this.#versions, chunk);
      this.#pump();
    } catch (err) {
      this.#fail(err);
    }
  };

  #readVersion(versions: VersionReader, chunk: Buffer): void {
    const remote = versions.push(chunk);
    if (remote === undefined) return;
    this.#remote = remote;
    this.#versions = undefined;
    this.#reader.push(remote.rest);
    const { preamble } = this.#parts;
    if (typeof preamble === "function") this.#greet(preamble(remote.version));
    this.#exchange();
  }

  /** Handles what has arrived, `first` before it, until something must be waited for. */
  #pump(first?: Uint8Array): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      let payload = first ?? this.#next();
      while (payload !== undefined) {
        this.#handle(payload);
        payload = this.#next();
      }
      if (this.#reader.bytes > this.#rekeyAt || this.#reader.packets > rekeyPackets) this.#keysAreOld();
    } catch (err) {
      this.#fail(err);
    } finally {
      this.#pumping = false;
    }
    const { stream } = this.#parts;
    if (this.#over) return;
    if (this.#held || this.#early !== undefined) stream.pause();
    else if (stream.isPaused()) stream.resume();
  }

  #next(): Uint8Array | undefined {
    const blocked = this.#held || this.#early !== undefined || this.#over || this.#versions !== undefined;
    return blocked ? undefined : this.#reader.next();
  }

  #handle(payload: Uint8Array): void {
    const id = payload[0] as number;
    // The bulk of all packets: the upper layers' between key exchanges.
    if (id >= 50 && id < Ping.id && !this.#peerExchanging) this.#deliver(payload);
    else if (id === Disconnect.id) this.#onDisconnect(payload);
    else if (id === KexInit.id || id === NewKeys.id || (id >= 30 && id <= 49))
      this.#onKeyExchange(id, payload);
    else this.#handleRare(id, payload);
  }

  #handleRare(id: number, payload: Uint8Array): void {
    // RFC 4253 §7.1; nothing at all in a strict first exchange, where an attacker could drop as much again later (S01).
    if (this.#peerExchanging && (id > Debug.id || (this.#strict && this.#exchanges === 0)))
      throw new Fault("protocol", `message ${id} in the middle of a key exchange`);
    switch (id) {
      case Ignore.id:
      case Unimplemented.id: // we send nothing that needs to be understood
      case Pong.id: // nor ask for one
        break;
      case Debug.id:
        this.#parts.log.debug("the other side says", { text: printable(Debug.decode(payload).text) });
        break;
      case ExtInfo.id:
        this.#onExtInfo(payload);
        break;
      case Ping.id:
        this.#answer(Pong.encode({ data: Ping.decode(payload).data }));
        break;
      default:
        if (id > 50 || id === ServiceRequest.id || id === ServiceAccept.id) this.#deliver(payload);
        else this.unimplemented();
    }
  }

  #deliver(payload: Uint8Array): void {
    if (this.#handler) this.#handler(payload);
    else this.#early = payload;
  }

  #onDisconnect(payload: Uint8Array): void {
    const { reason, description } = Disconnect.decode(payload);
    this.#end(peerLeft(reason, description));
  }

  /** RFC 8308 §2.4: a server speaks right after its first NEWKEYS and once more before success, a client the former only. */
  #onExtInfo(payload: Uint8Array): void {
    const timely =
      this.role === "client" ? !this.#authenticated : this.#exchanges === 1 && this.#reader.packets === 1;
    if (!timely) throw new Fault("protocol", "extensions were told at a time when they may not be");
    for (const [name, value] of ExtInfo.decode(payload).extensions) this.extensions.set(name, value);
  }

  /** An answer the peer can provoke at will: not for one that does not read. */
  #answer(payload: Uint8Array): void {
    this.#unreadAnswers++;
    if (this.#unreadAnswers <= maxUnreadAnswers) this.send(payload);
    else this.#fail(new Fault("protocol", "the other side asks and does not read the answers"));
  }

  // ---- key exchange

  #greet(preamble: Uint8Array | undefined): void {
    if (preamble !== undefined) this.#writer.raw(preamble);
    this.#writer.raw(Buffer.from(`${this.#parts.version}\r\n`, "latin1"));
    this.#sendInit();
  }

  #sendInit(): void {
    this.#holdingBack = true;
    this.#ourInit = ourKexInit(this.role, this.#parts.offer, this.#sessionId === undefined);
    this.#writer.packet(this.#ourInit);
  }

  /** Asks for new keys, unless that is under way or nobody has logged in. */
  #rekey(): void {
    if (this.#exchanging || this.#over || !this.#authenticated) return;
    this.#sendInit();
    this.#exchange();
  }

  #keysAreOld(): void {
    // A sequence number that came again under one key would repeat a nonce or a MAC's input.
    if (Math.max(this.#writer.packets, this.#reader.packets) < maxPackets) this.#rekey();
    else this.#fail(new Fault("protocol", "the other side never agrees on new keys"));
  }

  /** Runs a key exchange whose KEXINIT we have sent. */
  #exchange(): void {
    this.#exchanging = true;
    const first = this.#sessionId === undefined;
    if (!first) {
      this.#after(exchangeTimeout, () =>
        this.#fail(new Fault("unreachable", "the other side did not finish a key exchange in time")),
      );
    }
    const { version, offer, party, log } = this.#parts;
    const [clientVersion, serverVersion] =
      this.role === "client" ? [version, this.remoteVersion] : [this.remoteVersion, version];
    const context = {
      offer,
      party: this.#partyOf(party),
      clientVersion,
      serverVersion,
      sessionId: this.#sessionId,
    };
    exchangeKeys(this.#port, context, this.#ourInit as Uint8Array)
      .then(({ sessionId, hostKey }) => {
        this.#exchanging = false;
        this.#sessionId = sessionId;
        this.#hostKey = hostKey;
        this.#exchanges++;
        this.#held = false;
        this.#after(this.#parts.rekey.every ?? hour, () => this.#rekey());
        if (first) this.#start.resolve();
        else log.debug("keys agreed again", { exchanges: this.#exchanges });
        this.#pump();
      })
      .catch((err: unknown) => this.#fail(err));
  }

  /** In a later exchange the host that was accepted is not asked about again. */
  #partyOf(party: ClientParty | ServerParty): ClientParty | ServerParty {
    const known = this.#hostKey;
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
      this.#held = false;
      this.#pump();
      return promise;
    },
    send: (payload) => {
      if (!this.#over) this.#writer.packet(payload);
    },
    agreed: (agreed) => this.#onAgreed(agreed),
    sealWith: (sealer) => {
      this.#writer.switch(sealer, this.#strict);
      if (this.role === "server" && this.#exchanges === 0 && this.#peerTakesExtInfo) {
        this.#writer.packet(ExtInfo.encode({ extensions: ourExtensions }));
      }
      this.#release();
    },
    openWith: (opener) => {
      this.#reader.switch(opener, this.#strict);
      this.#peerExchanging = false;
    },
  };

  #onAgreed(agreed: Agreed): void {
    const { kex, hostKey, toServer, toClient } = agreed;
    if (this.#exchanges === 0) {
      this.#strict = agreed.strict;
      this.#peerTakesExtInfo = agreed.peerTakesExtInfo;
      if (this.#strict && this.#reader.sequence !== 1)
        throw new Fault("protocol", "something came before the first message of a strict key exchange");
    }
    this.#rekeyAt = Math.min(
      this.#parts.rekey.bytes ?? rekeyBytes,
      toServer.cipher.maxBytes,
      toClient.cipher.maxBytes,
    );
    this.#parts.log.debug("ssh algorithms agreed", {
      kex: kex.name,
      hostKey: hostKey.name,
      toServer: toServer.cipher.name,
      toClient: toClient.cipher.name,
      strict: this.#strict,
    });
  }

  /** The message goes to the exchange, and nothing is read until it asks for the next. */
  #onKeyExchange(id: number, payload: Uint8Array): void {
    if (id === KexInit.id) {
      if (this.#peerExchanging && this.#exchanges > 0)
        throw new Fault("protocol", "two KEXINITs in one key exchange");
      if (!this.#exchanging) {
        this.#sendInit();
        this.#exchange();
      }
      this.#peerExchanging = true;
    }
    const asked = this.#asked;
    if (asked === undefined || !this.#peerExchanging)
      throw new Fault("protocol", `key exchange message ${id} outside a key exchange`);
    this.#asked = undefined;
    this.#held = true;
    asked.resolve(payload);
  }

  // ---- outgoing

  #holdBack(head: Uint8Array, data: Uint8Array | undefined): void {
    const payload = new Uint8Array(head.length + (data?.length ?? 0));
    payload.set(head);
    if (data) payload.set(data, head.length);
    this.#waiting.push(payload);
    this.#waitingBytes += payload.length;
  }

  #release(): void {
    this.#holdingBack = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const payload of waiting) this.#writer.packet(payload);
  }

  readonly #onTaken = (): void => {
    if (this.buffered >= highWater / 2) return;
    this.#unreadAnswers = 0;
    this.#drained?.resolve();
    this.#drained = undefined;
  };

  // ---- the end

  readonly #onEnd = (): void =>
    this.#fail(
      new Fault(
        "unreachable",
        this.#remote
          ? "the other side closed the connection"
          : "the other side closed the connection before it said its SSH version",
      ),
    );
  readonly #onClose = (): void => this.#onEnd();
  readonly #onError = (cause: Error): void =>
    this.#fail(new Fault("unreachable", `the connection broke: ${cause.message}`, { cause }));
  readonly #onAbort = (): void => {
    const cause: unknown = this.#parts.signal.reason;
    const fault =
      cause instanceof Fault ? cause : new Fault("unreachable", "the connection was cancelled", { cause });
    this.#end(fault, { reason: DisconnectReason.byApplication, message: fault.message });
  };

  #fail(err: unknown): void {
    const fault = asFault(err);
    if (fault.kind === "internal" && !this.#over)
      this.#parts.log.error(fault.message, { err: fault.cause ?? fault });
    this.#end(fault, farewell(fault, this.#exchanging));
  }

  #end(fault: Fault | undefined, last?: Farewell): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer.abort();
    const { stream, signal, clock } = this.#parts;
    signal.removeEventListener("abort", this.#onAbort);
    stream.off("data", this.#onData);
    stream.off("end", this.#onEnd);
    stream.off("close", this.#onClose);
    // The error listener stays until the stream is gone: an error nobody listens to ends the process.
    stream.once("close", () => stream.off("error", this.#onError));
    if (last !== undefined && !stream.destroyed) {
      this.#writer.packet(
        Disconnect.encode({ reason: last.reason, description: printable(last.message), language: "" }),
      );
      this.#writer.flush();
      linger(stream, clock);
    } else if (fault === undefined) linger(stream, clock);
    else stream.destroy();
    this.#waiting = [];
    this.#waitingBytes = 0;
    const reason = fault ?? new Fault("unreachable", "the connection was ended");
    this.#asked?.reject(reason);
    this.#start.reject(reason);
    this.#drained?.resolve();
    this.#close.resolve(fault);
  }

  /** One timer at a time: for the present exchange, then for the next. */
  #after(ms: number, act: () => void): void {
    this.#timer.abort();
    if (this.#over) return;
    this.#timer = new AbortController();
    this.#parts.clock.sleep(ms, this.#timer.signal, { background: true }).then(act, () => {});
  }
}

/** RFC 8308 §3.1, OpenSSH PROTOCOL §1.9. */
const ourExtensions: ReadonlyMap<string, Uint8Array> = new Map([
  ["server-sig-algs", Buffer.from(userSignatureAlgorithms.join(","), "latin1")],
  ["ping@openssh.com", Buffer.from("0", "latin1")],
]);
