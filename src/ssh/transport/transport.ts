import type { Duplex } from "node:stream";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Brought } from "../brought/line.ts";
import type { Offer } from "../crypto/algorithms.ts";
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
import type { ClientParty, ServerParty } from "./exchange.ts";
import { KeyExchanges } from "./key-exchanges.ts";
import { Outbox } from "./outbox.ts";
import { DisconnectReason, type PacketTransport } from "./packets.ts";
import { PacketReader } from "./reader.ts";
import { type RemoteVersion, VersionReader } from "./version.ts";

export interface TransportParts {
  readonly stream: Duplex;
  readonly party: ClientParty | ServerParty;
  readonly offer: Offer;
  /** Our version line without CR LF. */
  readonly version: string;
  /** What stands before our version line; a function is asked once the peer's version is known. */
  readonly preamble: Uint8Array | ((remoteVersion: string) => Uint8Array | undefined) | undefined;
  /** Takes a PROXY line before the client's version; throws to refuse it. Without it there may be none. */
  readonly onProxyLine?: (line: string) => void;
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
  readonly #outbox: Outbox;
  readonly #keys: KeyExchanges;
  readonly #close = Promise.withResolvers<Fault | undefined>();
  readonly #start = Promise.withResolvers<void>();
  #versions: VersionReader | undefined;
  #remote: RemoteVersion | undefined;
  #authenticated = false;
  #over = false;

  #handler: ((payload: Uint8Array) => void) | undefined;
  #early: Uint8Array | undefined;
  #pumping = false;

  constructor(parts: TransportParts) {
    this.#parts = parts;
    this.role = parts.party.role;
    this.closed = this.#close.promise;
    this.ready = this.#start.promise;
    this.#outbox = new Outbox(parts.stream);
    this.#keys = new KeyExchanges({
      ...parts,
      reader: this.#reader,
      outbox: this.#outbox,
      resume: () => this.#pump(),
      onFirstDone: () => this.#start.resolve(),
      onFault: (err) => this.#fail(err),
    });
    this.#versions = new VersionReader(this.role === "client" ? "server" : "client", parts.onProxyLine);
    const { stream, signal } = parts;
    if ("setNoDelay" in stream && typeof stream.setNoDelay === "function") stream.setNoDelay(true);
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
    stream.on("error", this.#onError);
    stream.on("close", this.#onClose);
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    else if (stream.destroyed || stream.readableEnded) this.#onEnd();
    else {
      // Whoever accepted the stream may have held it until it had an owner.
      if (stream.isPaused()) stream.resume();
      if (typeof parts.preamble !== "function") this.#greet(parts.preamble);
    }
  }

  get sessionId(): Uint8Array {
    const { sessionId } = this.#keys;
    if (sessionId === undefined)
      throw new Fault("internal", "there is no session before the first key exchange");
    return sessionId;
  }
  get remoteVersion(): string {
    return this.#remote?.version ?? "";
  }
  get brought(): Brought | undefined {
    return this.#remote?.brought;
  }
  get hostKey(): PublicKey | undefined {
    return this.#keys.hostKey;
  }
  get buffered(): number {
    return this.#outbox.buffered;
  }

  send(head: Uint8Array, data?: Uint8Array): boolean {
    if (this.#over) return false;
    const outbox = this.#outbox;
    outbox.send(head, data);
    this.#keys.check();
    if (!outbox.isFull) return true;
    if (outbox.overflows)
      this.#fail(new Fault("limit_exceeded", "the other side does not read what it is sent"));
    return false;
  }

  drain(): Promise<void> {
    return this.#outbox.drain();
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
    this.#keys.allowRekeying();
  }

  rekey(): void {
    this.#keys.rekey();
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
    const { preamble, version } = this.#parts;
    if (typeof preamble === "function") this.#greet(preamble(remote.version));
    this.#keys.begin(
      this.role === "client"
        ? { clientVersion: version, serverVersion: remote.version }
        : { clientVersion: remote.version, serverVersion: version },
    );
  }

  #greet(preamble: Uint8Array | undefined): void {
    if (preamble !== undefined) this.#outbox.writer.raw(preamble);
    this.#outbox.writer.raw(Buffer.from(`${this.#parts.version}\r\n`, "latin1"));
    this.#keys.open();
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
      this.#keys.check();
    } catch (err) {
      this.#fail(err);
    } finally {
      this.#pumping = false;
    }
    const { stream } = this.#parts;
    if (this.#over) return;
    if (this.#keys.isThinking || this.#early !== undefined) stream.pause();
    else if (stream.isPaused()) stream.resume();
  }

  #next(): Uint8Array | undefined {
    const blocked =
      this.#keys.isThinking || this.#early !== undefined || this.#over || this.#versions !== undefined;
    return blocked ? undefined : this.#reader.next();
  }

  #handle(payload: Uint8Array): void {
    const id = payload[0] as number;
    // The bulk of all packets: the upper layers' between key exchanges.
    if (id >= 50 && id < Ping.id && !this.#keys.peerIsActive) this.#deliver(payload);
    else if (id === Disconnect.id) this.#onDisconnect(payload);
    else if (id === KexInit.id || id === NewKeys.id || (id >= 30 && id <= 49)) this.#keys.take(id, payload);
    else this.#handleRare(id, payload);
  }

  #handleRare(id: number, payload: Uint8Array): void {
    this.#keys.permit(id);
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
      this.role === "client" ? !this.#authenticated : this.#keys.count === 1 && this.#reader.packets === 1;
    if (!timely) throw new Fault("protocol", "extensions were told at a time when they may not be");
    for (const [name, value] of ExtInfo.decode(payload).extensions) this.extensions.set(name, value);
  }

  /** An answer the peer can provoke at will: not for one that does not read. */
  #answer(payload: Uint8Array): void {
    if (this.#outbox.mayAnswer()) this.send(payload);
    else this.#fail(new Fault("protocol", "the other side asks and does not read the answers"));
  }

  // ---- the end

  readonly #onEnd = (): void =>
    this.#fail(
      this.#remote
        ? new Fault("unreachable", "the other side closed the connection")
        : new Fault("unreachable", "the other side closed the connection before it said its SSH version", {
            details: { said: "nothing" },
          }),
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
    this.#end(fault, farewell(fault, this.#keys.isActive));
  }

  #end(fault: Fault | undefined, last?: Farewell): void {
    if (this.#over) return;
    this.#over = true;
    const { stream, signal, clock } = this.#parts;
    signal.removeEventListener("abort", this.#onAbort);
    stream.off("data", this.#onData);
    stream.off("end", this.#onEnd);
    stream.off("close", this.#onClose);
    // The error listener stays until the stream is gone: an error nobody listens to ends the process.
    stream.once("close", () => stream.off("error", this.#onError));
    // Told in a packet only to who is known to speak SSH.
    if (last !== undefined && this.#remote !== undefined && !stream.destroyed) {
      this.#outbox.writer.packet(
        Disconnect.encode({ reason: last.reason, description: printable(last.message), language: "" }),
      );
      this.#outbox.writer.flush();
      linger(stream, clock);
    } else if (fault === undefined) linger(stream, clock);
    else stream.destroy();
    this.#outbox.close();
    const reason = fault ?? new Fault("unreachable", "the other side ended the connection");
    this.#keys.close(reason);
    this.#start.reject(reason);
    this.#close.resolve(fault);
  }
}
