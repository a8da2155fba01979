import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Signer } from "../keys/key.ts";
import { DisconnectReason, type PacketTransport } from "../transport/packets.ts";
import {
  ChannelClose,
  ChannelData,
  ChannelEof,
  ChannelExtendedData,
  ChannelFailure,
  ChannelOpen,
  ChannelOpenConfirmation,
  ChannelOpenFailure,
  ChannelRequestMessage,
  ChannelSuccess,
  ChannelWindowAdjust,
  GlobalRequest,
  RequestFailure,
  RequestSuccess,
} from "../wire/connection.ts";
import { UserauthRequest } from "../wire/userauth.ts";
import { type Channel, type ChannelRequest, type Connection, OpenFailure } from "./channel.ts";
import { Endpoint } from "./endpoint.ts";
import { announcement, hostKeysRequest, proveRequest, prover } from "./host-keys.ts";
import {
  type ConnectionLimit,
  type ConnectionLimits,
  defaultMaxChannels,
  maxPacket,
  RequestBudget,
  WindowBudget,
} from "./limits.ts";
import { type RequestHandler, RequestQueue } from "./requests.ts";

export interface ConnectionOptions {
  /** Asks the peer for a sign of life after `every` without one; `count` unanswered end the connection. */
  readonly keepAlive?: { readonly every: Millis; readonly count: number };
  readonly limits?: ConnectionLimits;
  /** Of a server: the client is told of those that are no certificates. */
  readonly hostKeys?: readonly Signer[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The connection protocol (RFC 4254) over an authenticated transport. Must be called in the same turn in which
 * authentication ended: the peer's next payload may follow at once.
 */
export function openConnection(transport: PacketTransport, options: ConnectionOptions): Connection {
  return new Mux(transport, options);
}

const unknownKind = "channels of this kind are not served here";

type OpenHandler = (request: ChannelRequest) => void | Promise<void>;
type Opened = { channel: Channel; extra: Uint8Array };
/** A local channel number is an open channel, or one that waits for the peer's answer. */
type Slot =
  | { state: "opening"; kind: string; window: number; answer: PromiseWithResolvers<Opened> }
  | { state: "open"; endpoint: Endpoint; byPeer: boolean };

class Mux implements Connection {
  readonly remoteVersion: string;
  readonly sessionId: Uint8Array;
  readonly closed: Promise<Error | undefined>;
  readonly #transport: PacketTransport;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #maxChannels: number;
  readonly #onLimit: ConnectionLimits["onLimit"];
  readonly #windows: WindowBudget;
  readonly #gone = new AbortController();
  readonly #waitingRequests: RequestBudget;
  #slots: (Slot | undefined)[] = [];
  #freeIds: number[] = [];
  /** Channels of the peer: open, or asked for and not decided. */
  #peerChannels = 0;
  #openHandler: OpenHandler | undefined;
  /** Opens that came before anyone could have set a handler; undefined after the first turn. */
  #earlyOpens: ChannelOpen[] | undefined = [];
  readonly #requests: RequestQueue<boolean | Uint8Array>;
  #replies: PromiseWithResolvers<Uint8Array | undefined>[] = [];
  #noMoreSessions = false;
  #heard = false;
  readonly #handlers = new Map<number, (payload: Uint8Array) => void>([
    on(ChannelWindowAdjust, (m) => this.#endpoint(m.recipientChannel).gotAdjust(m.bytesToAdd)),
    on(ChannelExtendedData, (m) => this.#endpoint(m.recipientChannel).gotExtendedData(m.dataType, m.data)),
    on(ChannelEof, (m) => this.#endpoint(m.recipientChannel).gotEof()),
    on(ChannelClose, (m) => this.#endpoint(m.recipientChannel).gotClose()),
    on(ChannelRequestMessage, ({ recipientChannel, requestType: name, request: payload, wantReply }) =>
      this.#endpoint(recipientChannel).gotRequest({ name, payload, wantReply }),
    ),
    on(ChannelSuccess, (m) => this.#endpoint(m.recipientChannel).gotReply(true)),
    on(ChannelFailure, (m) => this.#endpoint(m.recipientChannel).gotReply(false)),
    on(ChannelOpen, (m) => this.#takeOpen(m)),
    on(ChannelOpenConfirmation, (m) => this.#takeConfirmation(m)),
    on(ChannelOpenFailure, (m) => this.#takeFailure(m)),
    on(GlobalRequest, ({ requestName: name, request: payload, wantReply }) =>
      this.#requests.push({ name, payload, wantReply }),
    ),
    on(RequestSuccess, (m) => this.#takeReply(m.response)),
    on(RequestFailure, () => this.#takeReply(undefined)),
  ]);
  /** Why we gave the peer up for dead. */
  #dead: Fault | undefined;
  #over: Fault | undefined;

  constructor(transport: PacketTransport, options: ConnectionOptions) {
    this.#transport = transport;
    this.#log = options.log;
    this.#clock = options.clock;
    const { limits = {} } = options;
    this.#maxChannels = limits.maxChannels ?? defaultMaxChannels;
    this.#onLimit = limits.onLimit;
    this.#windows = new WindowBudget(limits);
    this.#waitingRequests = new RequestBudget(limits);
    this.remoteVersion = transport.remoteVersion;
    this.sessionId = transport.sessionId;
    this.#requests = new RequestQueue<boolean | Uint8Array>(
      (answer) => this.#replyGlobal(answer),
      new Map<string, RequestHandler<boolean | Uint8Array>>([
        ["keepalive@openssh.com", () => true],
        [proveRequest, prover(options.hostKeys ?? [], transport.sessionId)],
        ["no-more-sessions@openssh.com", () => this.#refuseSessions()],
      ]),
      this.#waitingRequests,
    );
    this.closed = transport.closed.then((reason) => this.#end(reason));
    transport.receive((payload) => this.#take(payload));
    setImmediate(() => this.#firstTurnOver());
    const hostKeys = announcement(options.hostKeys ?? []);
    if (hostKeys)
      transport.send(
        GlobalRequest.encode({ requestName: hostKeysRequest, wantReply: false, request: hostKeys }),
      );
    if (options.keepAlive) void this.#keepAlive(options.keepAlive, options.clock);
  }

  open(channelType: string, extra: Uint8Array = new Uint8Array(0)): Promise<Opened> {
    if (this.#over) return Promise.reject(this.#over);
    const window = this.#windows.grant();
    if (window === undefined)
      return Promise.reject(new Fault("limit_exceeded", "too many channels are open on this connection"));
    const answer = Promise.withResolvers<Opened>();
    const senderChannel = this.#claim({ state: "opening", kind: channelType, window, answer });
    this.#transport.send(
      ChannelOpen.encode({ channelType, senderChannel, initialWindow: window, maxPacket, open: extra }),
    );
    return answer.promise;
  }

  onOpen(handler: OpenHandler): void {
    this.#openHandler = handler;
    for (const open of this.#earlyOpens?.splice(0) ?? []) this.#offer(open, handler);
  }

  request(requestName: string, request: Uint8Array, wantReply: boolean): Promise<Uint8Array | undefined> {
    if (this.#over) return Promise.reject(this.#over);
    this.#transport.send(GlobalRequest.encode({ requestName, wantReply, request }));
    if (!wantReply) return Promise.resolve(undefined);
    const reply = Promise.withResolvers<Uint8Array | undefined>();
    this.#replies.push(reply);
    return reply.promise;
  }

  onRequest(handler: RequestHandler<boolean | Uint8Array>): void {
    this.#requests.handle(handler);
  }

  rekey(): void {
    this.#transport.rekey();
  }

  disconnect(message = ""): void {
    this.#transport.disconnect(DisconnectReason.byApplication, message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnect();
    await this.closed;
  }

  /** One payload of the peer. Throws a fault for what ends the connection. */
  #take(payload: Uint8Array): void {
    try {
      this.#dispatch(payload);
    } catch (err) {
      if (Fault.is(err, "limit_exceeded")) this.#onLimit?.("requests");
      throw err;
    }
  }

  #dispatch(payload: Uint8Array): void {
    this.#heard = true;
    const id = payload[0] ?? 0;
    if (id === ChannelData.id) this.#takeData(payload);
    else if (this.#handlers.has(id)) this.#handlers.get(id)?.(payload);
    else if (id >= 80) this.#transport.unimplemented();
    // RFC 4252 §5.1: after success, further authentication requests are silently ignored. Nothing else is left to come
    // of the transport or of authentication (CVE-2018-1000805).
    else if (id !== UserauthRequest.id || this.#transport.role === "client")
      throw new Fault("protocol", `message ${id} is not expected after authentication`);
  }

  /** The hot path, by hand: the data is a view of the payload. */
  #takeData(payload: Uint8Array): void {
    if (payload.length < 9) throw new Fault("protocol", "SSH_MSG_CHANNEL_DATA is short");
    const length = readUint32(payload, 5);
    if (length !== payload.length - 9)
      throw new Fault("protocol", `SSH_MSG_CHANNEL_DATA says ${length} bytes and has ${payload.length - 9}`);
    this.#endpoint(readUint32(payload, 1)).gotData(payload.subarray(9));
  }

  #endpoint(id: number): Endpoint {
    const slot = this.#slots[id];
    if (slot?.state !== "open") throw new Fault("protocol", `channel ${id} is not open`);
    return slot.endpoint;
  }

  #takeOpen(open: ChannelOpen): void {
    if (open.maxPacket === 0) throw new Fault("protocol", "channel open with a maximum packet of 0");
    const handler = this.#openHandler;
    if (this.#noMoreSessions && open.channelType === "session")
      this.#reject(open, OpenFailure.administrativelyProhibited, "no more sessions were to come");
    else if (this.#peerChannels + (this.#earlyOpens?.length ?? 0) >= this.#maxChannels)
      this.#rejectFull(open, "channels");
    else if (handler) this.#offer(open, handler);
    else if (this.#earlyOpens) this.#earlyOpens.push(open);
    else this.#rejectKind(open);
  }

  #offer(open: ChannelOpen, handler: OpenHandler): void {
    let answered = false;
    const once = (): void => {
      if (answered) throw new Fault("internal", `${open.channelType} channel was answered twice`);
      answered = true;
    };
    const window = this.#windows.grant();
    if (window === undefined) {
      this.#rejectFull(open, "buffered");
      return;
    }
    this.#peerChannels++;
    const refuse = (reason: number, message: string): void => {
      this.#peerChannels--;
      this.#windows.giveBack(window);
      this.#reject(open, reason, message);
    };
    const request: ChannelRequest = {
      kind: open.channelType,
      extra: open.open,
      accept: (extra) => {
        once();
        return this.#accept(open, window, extra ?? new Uint8Array(0));
      },
      reject: (reason, message) => {
        once();
        refuse(reason, message);
      },
    };
    const settle = (error?: unknown): void => {
      if (error !== undefined)
        this.#log.warn("channel request failed", { kind: open.channelType, error: String(error) });
      if (answered) return;
      answered = true;
      refuse(OpenFailure.unknownChannelType, unknownKind);
    };
    try {
      const deciding = handler(request);
      if (deciding instanceof Promise) deciding.then(() => settle(), settle);
      else settle();
    } catch (err) {
      settle(err);
    }
  }

  #accept(open: ChannelOpen, window: number, extra: Uint8Array): Channel {
    const { channelType, senderChannel } = open;
    const id = this.#claim(undefined);
    const endpoint = this.#newEndpoint(id, channelType, window, {
      id: senderChannel,
      window: open.initialWindow,
      maxPacket: open.maxPacket,
    });
    this.#slots[id] = { state: "open", endpoint, byPeer: true };
    if (this.#over) endpoint.lost(this.#over);
    this.#transport.send(
      ChannelOpenConfirmation.encode({
        recipientChannel: senderChannel,
        senderChannel: id,
        initialWindow: window,
        maxPacket,
        open: extra,
      }),
    );
    return endpoint;
  }

  #rejectKind(open: ChannelOpen): void {
    this.#reject(open, OpenFailure.unknownChannelType, unknownKind);
  }

  #rejectFull(open: ChannelOpen, limit: ConnectionLimit): void {
    this.#onLimit?.(limit);
    this.#reject(open, OpenFailure.resourceShortage, "too many channels are open");
  }

  #reject(open: ChannelOpen, reasonCode: number, message: string): void {
    this.#transport.send(
      ChannelOpenFailure.encode({
        recipientChannel: open.senderChannel,
        reasonCode,
        description: Buffer.from(message),
        languageTag: new Uint8Array(0),
      }),
    );
  }

  #takeConfirmation(got: ChannelOpenConfirmation): void {
    const { kind, window, answer } = this.#opening(got.recipientChannel);
    if (got.maxPacket === 0) throw new Fault("protocol", "channel confirmation with a maximum packet of 0");
    const endpoint = this.#newEndpoint(got.recipientChannel, kind, window, {
      id: got.senderChannel,
      window: got.initialWindow,
      maxPacket: got.maxPacket,
    });
    this.#slots[got.recipientChannel] = { state: "open", endpoint, byPeer: false };
    answer.resolve({ channel: endpoint, extra: got.open });
  }

  #takeFailure(got: { recipientChannel: number; reasonCode: number; description: Uint8Array }): void {
    const { answer } = this.#opening(got.recipientChannel);
    this.#free(got.recipientChannel);
    const text = Buffer.from(got.description).toString();
    answer.reject(
      new Fault("unreachable", text || "the channel was refused", {
        details: { reason: text, code: got.reasonCode },
      }),
    );
  }

  #opening(id: number): Slot & { state: "opening" } {
    const slot = this.#slots[id];
    if (slot?.state !== "opening")
      throw new Fault("protocol", `answer to channel ${id}, which was not asked for`);
    return slot;
  }

  #newEndpoint(
    id: number,
    kind: string,
    window: number,
    remote: { id: number; window: number; maxPacket: number },
  ): Endpoint {
    return new Endpoint({
      kind,
      transport: this.#transport,
      window,
      grow: (size) => this.#windows.grow(size),
      clock: this.#clock,
      maxPacket,
      remote,
      requests: this.#waitingRequests,
      gone: this.#gone.signal,
      release: (unread) => this.#free(id, unread),
      forget: (bytes) => this.#windows.forget(bytes),
    });
  }

  #claim(slot: Slot | undefined): number {
    const id = this.#freeIds.pop() ?? this.#slots.length;
    this.#slots[id] = slot;
    return id;
  }

  #free(id: number, unread = 0): void {
    const slot = this.#slots[id];
    if (slot?.state === "open" && slot.byPeer) this.#peerChannels--;
    if (slot) this.#windows.giveBack(slot.state === "open" ? slot.endpoint.window : slot.window, unread);
    this.#slots[id] = undefined;
    this.#freeIds.push(id);
  }

  #takeReply(response: Uint8Array | undefined): void {
    const reply = this.#replies.shift();
    if (!reply) throw new Fault("protocol", "reply to a global request that was not made");
    reply.resolve(response);
  }

  #replyGlobal(answer: boolean | Uint8Array): void {
    if (answer === false) this.#transport.send(RequestFailure.encode({}));
    else
      this.#transport.send(RequestSuccess.encode({ response: answer === true ? new Uint8Array(0) : answer }));
  }

  /** OpenSSH PROTOCOL §2.2: the client promises to open no more sessions, and holds itself to it. */
  #refuseSessions(): boolean {
    if (this.#transport.role === "client") return false;
    this.#noMoreSessions = true;
    return true;
  }

  #firstTurnOver(): void {
    const early = this.#earlyOpens ?? [];
    this.#earlyOpens = undefined;
    for (const open of early) this.#rejectKind(open);
    this.#requests.refuseUnhandled();
  }

  async #keepAlive({ every, count }: { every: Millis; count: number }, clock: Clock): Promise<void> {
    const stop = new AbortController();
    void this.closed.then(() => stop.abort());
    for (let unanswered = 0; ; ) {
      try {
        await clock.sleep(every, stop.signal, { background: true });
      } catch {
        return;
      }
      if (this.#heard) unanswered = 0;
      else if (unanswered >= count) {
        this.#dead = new Fault("unreachable", `the other side did not answer ${count} keep-alive requests`);
        this.#transport.disconnect(DisconnectReason.connectionLost, this.#dead.message);
        return;
      } else {
        unanswered++;
        this.request("keepalive@openssh.com", new Uint8Array(0), true).catch(() => {});
      }
      this.#heard = false;
    }
  }

  #end(reason: Fault | undefined = this.#dead): Fault | undefined {
    this.#over = reason ?? new Fault("unreachable", "the connection is closed");
    const slots = this.#slots;
    this.#slots = [];
    for (const slot of slots) {
      if (slot?.state === "open") slot.endpoint.lost(this.#over);
      else slot?.answer.reject(this.#over);
    }
    for (const reply of this.#replies.splice(0)) reply.reject(this.#over);
    // What came with the end is passed on first, by whoever can take it at once.
    setImmediate(() => this.#gone.abort(this.#over));
    return reason;
  }
}

function on<T>(
  message: { id: number; decode(payload: Uint8Array): T },
  handle: (body: T) => void,
): [number, (payload: Uint8Array) => void] {
  return [message.id, (payload) => handle(message.decode(payload))];
}

const readUint32 = (payload: Uint8Array, at: number): number =>
  (((payload[at] as number) << 24) |
    ((payload[at + 1] as number) << 16) |
    ((payload[at + 2] as number) << 8) |
    (payload[at + 3] as number)) >>>
  0;
