import { Fault } from "#core/errors";
import { DisconnectReason, type PacketTransport } from "../transport/packets.ts";

/** One end of a pair. A hostile peer is an end used raw: `send` any payload, look at `received`. */
export interface TestTransport extends PacketTransport {
  /** What the other end sent to this one, in order; kept also when a handler took it. */
  readonly received: readonly Uint8Array[];
  /** How this end disconnected, if it did. */
  readonly disconnected: { readonly reason: number; readonly message: string } | undefined;
  /** How often this end answered SSH_MSG_UNIMPLEMENTED. */
  readonly unimplementedReplies: number;
  /** Whether `authenticated` was called. */
  readonly isAuthenticated: boolean;
  /** Whether `send` asks for a pause; turning it off lets `drain` resolve. */
  congested: boolean;
  /** Ends both ends as if the wire was cut. */
  cut(): void;
}

/** Two connected transports without crypto or sockets. Payloads arrive in a later turn than they were sent, in order. */
export function packetPair(): { client: TestTransport; server: TestTransport } {
  const sessionId = new Uint8Array(32).fill(7);
  const client = new End("client", sessionId);
  const server = new End("server", sessionId);
  client.peer = server;
  server.peer = client;
  return { client, server };
}

/** Lets everything that was sent arrive and be answered. */
export async function settle(turns = 5): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

class End implements TestTransport {
  readonly role: "client" | "server";
  readonly sessionId: Uint8Array;
  readonly remoteVersion = "SSH-2.0-Test";
  readonly hostKey = undefined;
  readonly extensions = new Map<string, Uint8Array>();
  readonly buffered = 0;
  readonly closed: Promise<Fault | undefined>;
  readonly received: Uint8Array[] = [];
  peer!: End;
  disconnected: { reason: number; message: string } | undefined;
  unimplementedReplies = 0;
  isAuthenticated = false;
  readonly #closed = Promise.withResolvers<Fault | undefined>();
  #over = false;
  #handler: ((payload: Uint8Array) => void) | undefined;
  #arrived: Uint8Array[] = [];
  #scheduled = false;
  #congested = false;
  #drained = Promise.withResolvers<void>();

  constructor(role: "client" | "server", sessionId: Uint8Array) {
    this.role = role;
    this.sessionId = sessionId;
    this.closed = this.#closed.promise;
  }

  get congested(): boolean {
    return this.#congested;
  }
  set congested(on: boolean) {
    this.#congested = on;
    if (on) return;
    this.#drained.resolve();
    this.#drained = Promise.withResolvers();
  }

  send(head: Uint8Array, data?: Uint8Array): boolean {
    if (!this.#over) this.peer.#arrive(Buffer.concat(data ? [head, data] : [head]));
    return !this.#congested;
  }

  drain(): Promise<void> {
    return this.#congested && !this.#over ? this.#drained.promise : Promise.resolve();
  }

  receive(handler: (payload: Uint8Array) => void): void {
    this.#handler = handler;
    this.#schedule();
  }

  unimplemented(): void {
    this.unimplementedReplies++;
  }

  authenticated(): void {
    this.isAuthenticated = true;
  }

  /** There are no keys here. */
  rekey(): void {}

  disconnect(reason: number, message: string): void {
    this.#end(undefined, reason, message);
  }

  #end(fault: Fault | undefined, reason: number, message: string): void {
    if (this.#over) return;
    this.disconnected = { reason, message };
    this.#close(fault);
    const left = `the other side ended the connection: ${message}`;
    const theirs = reason === DisconnectReason.byApplication ? undefined : new Fault("unreachable", left);
    queueMicrotask(() => this.peer.#close(theirs));
  }

  cut(): void {
    for (const end of [this, this.peer]) end.#close(new Fault("unreachable", "the connection was cut"));
  }

  #close(reason: Fault | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.congested = false;
    this.#closed.resolve(reason);
  }

  #arrive(payload: Uint8Array): void {
    this.received.push(payload);
    this.#arrived.push(payload);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || !this.#handler) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      // One payload may change who handles the next.
      for (let payload = this.#arrived.shift(); payload && !this.#over; payload = this.#arrived.shift())
        this.#deliver(payload);
    });
  }

  #deliver(payload: Uint8Array): void {
    try {
      this.#handler?.(payload);
    } catch (err) {
      if (!(err instanceof Fault)) throw err;
      this.#end(err, DisconnectReason.protocolError, err.message);
    }
  }
}
