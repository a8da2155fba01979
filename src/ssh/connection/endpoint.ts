import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { PacketTransport } from "../transport/packets.ts";
import {
  ChannelClose,
  ChannelData,
  ChannelEof,
  ChannelExtendedData,
  ChannelFailure,
  ChannelRequestMessage,
  ChannelSuccess,
  ChannelWindowAdjust,
  stderrType,
} from "../wire/connection.ts";
import type { Channel } from "./channel.ts";
import { Inbox } from "./inbox.ts";
import type { RequestBudget } from "./limits.ts";
import { type PeerRequest, type RequestHandler, RequestQueue } from "./requests.ts";
import { ReceiveWindow, SendWindow } from "./window.ts";

/** Largest data packet we send, whatever the peer would take, so that channels of one connection take turns. */
const maxSend = 64 * 1024;

const resolved = Promise.resolve();

/** One end of an open channel: what `Channel` promises, and what the connection calls as messages arrive. */
export class Endpoint implements Channel {
  readonly kind: string;
  readonly stderr: Inbox;
  readonly closed: Promise<void>;
  readonly gone: AbortSignal;
  readonly #closed = Promise.withResolvers<void>();
  readonly #transport: PacketTransport;
  readonly #remoteId: number;
  readonly #maxReceive: number;
  readonly #maxSend: number;
  readonly #receiveWindow: ReceiveWindow;
  readonly #sendWindow: SendWindow;
  readonly #stdout: Inbox;
  readonly #requests: RequestQueue<boolean>;
  readonly #release: (unread: number) => void;
  readonly #forget: (bytes: number) => void;
  // The fields before the bytes of a data packet, made once, so that sending data allocates nothing.
  readonly #dataHead: Buffer;
  readonly #stderrHead: Buffer;
  #replies: PromiseWithResolvers<boolean>[] = [];
  /** The writes that have not been sent yet, or undefined. */
  #writing: Promise<void> | undefined;
  /** Why nothing more can be written. */
  #unwritable: Fault | undefined;
  #sentClose = false;
  #gotEof = false;
  #gotClose = false;
  #released = false;

  constructor(parts: {
    kind: string;
    transport: PacketTransport;
    window: number;
    /** Asked by how much a window of this size may grow. */
    grow: (window: number) => number;
    clock: Clock;
    maxPacket: number;
    remote: { id: number; window: number; maxPacket: number };
    requests: RequestBudget;
    gone: AbortSignal;
    /** Called once, when both sides have closed, with the bytes that still wait for who reads them. */
    release: (unread: number) => void;
    /** Called when some of those are read or dropped. */
    forget: (bytes: number) => void;
  }) {
    this.kind = parts.kind;
    this.#transport = parts.transport;
    this.#remoteId = parts.remote.id;
    this.#maxReceive = parts.maxPacket;
    this.#maxSend = Math.min(parts.remote.maxPacket, maxSend);
    this.#receiveWindow = new ReceiveWindow(parts.window, parts.clock, parts.grow);
    this.#sendWindow = new SendWindow(parts.remote.window);
    this.#release = parts.release;
    this.#forget = parts.forget;
    this.gone = parts.gone;
    this.closed = this.#closed.promise;
    const consumed = (bytes: number): void => this.#giveBack(bytes);
    this.#stdout = new Inbox(consumed);
    this.stderr = new Inbox(consumed);
    // sshd looks for dead clients by this request on some channel; any answer will do (OpenSSH clientloop, serverloop).
    this.#requests = new RequestQueue<boolean>(
      (answer) => this.#reply(answer),
      new Map([["keepalive@openssh.com", () => false]]),
      parts.requests,
    );
    this.#dataHead = Buffer.alloc(9);
    this.#dataHead[0] = ChannelData.id;
    this.#dataHead.writeUInt32BE(this.#remoteId, 1);
    this.#stderrHead = Buffer.alloc(13);
    this.#stderrHead[0] = ChannelExtendedData.id;
    this.#stderrHead.writeUInt32BE(this.#remoteId, 1);
    this.#stderrHead.writeUInt32BE(stderrType, 5);
  }

  /** Bytes that the peer may have in flight to us, which grow on long lines. */
  get window(): number {
    return this.#receiveWindow.size;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.#stdout;
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#write(this.#dataHead, chunk);
  }

  writeStderr(chunk: Uint8Array): Promise<void> {
    return this.#write(this.#stderrHead, chunk);
  }

  async end(): Promise<void> {
    if (this.#unwritable) return;
    this.#unwritable = new Fault("unreachable", `${this.kind} channel was ended for writing`);
    await this.#writing;
    if (!this.#sentClose) this.#transport.send(ChannelEof.encode({ recipientChannel: this.#remoteId }));
  }

  request(requestType: string, request: Uint8Array, wantReply: boolean): Promise<boolean> {
    if (this.#sentClose) return Promise.reject(this.#goneFault());
    this.#transport.send(
      ChannelRequestMessage.encode({ recipientChannel: this.#remoteId, requestType, wantReply, request }),
    );
    if (!wantReply) return Promise.resolve(true);
    const reply = Promise.withResolvers<boolean>();
    this.#replies.push(reply);
    return reply.promise;
  }

  onRequest(handler: RequestHandler<boolean>): void {
    this.#requests.handle(handler);
  }

  async close({ discard = false }: { discard?: boolean } = {}): Promise<void> {
    const gone = this.#goneFault();
    this.#unwritable ??= gone;
    if (discard) this.#sendWindow.close(gone);
    await this.#writing;
    this.#sendClose();
    if (discard) this.#drop();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // What the connection calls, each on a message for this channel. A thrown fault ends the connection.

  gotData(data: Uint8Array): void {
    if (this.#takes(data)) this.#stdout.push(data);
  }

  gotExtendedData(type: number, data: Uint8Array): void {
    if (!this.#takes(data)) return;
    if (type === stderrType) this.stderr.push(data);
    else this.#giveBack(data.length);
  }

  gotAdjust(bytes: number): void {
    this.#sendWindow.add(bytes);
  }

  gotEof(): void {
    if (this.#gotEof) throw new Fault("protocol", "second EOF on a channel");
    this.#gotEof = true;
    this.#stdout.end();
    this.stderr.end();
  }

  gotRequest(request: PeerRequest): void {
    this.#requests.push(request);
  }

  gotReply(success: boolean): void {
    const reply = this.#replies.shift();
    if (!reply) throw new Fault("protocol", "reply to a channel request that was not made");
    reply.resolve(success);
  }

  gotClose(): void {
    this.#gotClose = true;
    this.#finish(this.#goneFault(), undefined);
    this.#sendClose();
    this.#release(this.#stdout.unread + this.stderr.unread);
    this.#released = true;
  }

  /** The connection is gone. */
  lost(reason: Fault): void {
    this.#sentClose = true;
    this.#finish(reason, reason);
  }

  #finish(reason: Fault, readError: Fault | undefined): void {
    this.#unwritable = reason;
    this.#requests.close();
    this.#sendWindow.close(reason);
    this.#stdout.end(readError);
    this.stderr.end(readError);
    for (const reply of this.#replies.splice(0)) {
      // Whoever asked may have stopped waiting.
      reply.promise.catch(() => {});
      reply.reject(reason);
    }
    this.#closed.resolve();
  }

  #sendClose(): void {
    if (this.#sentClose) return;
    this.#sentClose = true;
    this.#transport.send(ChannelClose.encode({ recipientChannel: this.#remoteId }));
    // Our consumer is done: what it left unread is not held until the peer has closed too.
    if (!this.#gotClose) this.#drop();
  }

  #drop(): void {
    const dropped = this.#stdout.drop() + this.stderr.drop();
    if (this.#released) this.#forget(dropped);
  }

  #takes(data: Uint8Array): boolean {
    if (this.#gotEof) throw new Fault("protocol", "data after EOF on a channel");
    if (data.length > this.#maxReceive)
      throw new Fault(
        "protocol",
        `data packet of ${data.length} bytes, at most ${this.#maxReceive} were allowed`,
      );
    this.#receiveWindow.spend(data.length);
    return !this.#sentClose;
  }

  #giveBack(bytes: number): void {
    if (this.#released) this.#forget(bytes);
    // Nothing more can come; and a window that has been released must not grow.
    if (this.#sentClose || this.#gotEof) return;
    const bytesToAdd = this.#receiveWindow.consumed(bytes);
    if (bytesToAdd === 0) return;
    this.#transport.send(ChannelWindowAdjust.encode({ recipientChannel: this.#remoteId, bytesToAdd }));
  }

  #reply(success: boolean): void {
    if (this.#sentClose) return;
    const reply = success ? ChannelSuccess : ChannelFailure;
    this.#transport.send(reply.encode({ recipientChannel: this.#remoteId }));
  }

  #write(head: Buffer, chunk: Uint8Array): Promise<void> {
    if (this.#unwritable) return Promise.reject(this.#unwritable);
    if (chunk.length === 0) return this.#writing ?? resolved;
    // The common case sends at once: no promise, no copy.
    if (!this.#writing && chunk.length <= this.#maxSend && this.#sendWindow.tryTake(chunk.length))
      return this.#packet(head, chunk) ? resolved : this.#transport.drain();
    const done = (this.#writing ?? resolved).then(() => this.#writeAll(head, chunk));
    const settled = done
      .catch(() => {})
      .then(() => {
        if (this.#writing === settled) this.#writing = undefined;
      });
    this.#writing = settled;
    return done;
  }

  async #writeAll(head: Buffer, chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const n = await this.#sendWindow.take(Math.min(this.#maxSend, chunk.length - at));
      if (this.#sentClose) throw this.#goneFault();
      if (!this.#packet(head, chunk.subarray(at, at + n))) await this.#transport.drain();
      at += n;
    }
  }

  #packet(head: Buffer, data: Uint8Array): boolean {
    head.writeUInt32BE(data.length, head.length - 4);
    return this.#transport.send(head, data);
  }

  #goneFault(): Fault {
    return new Fault("unreachable", `${this.kind} channel is closed`);
  }
}
