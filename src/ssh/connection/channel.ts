import { Duplex } from "node:stream";

/**
 * One SSH channel (RFC 4254 §5). Reading is iteration, writing waits for the peer's credit, nothing is an event.
 * Credit goes back to the peer when the consumer asks for more, so an unread channel holds at most its window.
 */
export interface Channel extends AsyncDisposable {
  /** Channel type, e.g. `session`. */
  readonly kind: string;
  /** The peer's data until its EOF or close. One consumer. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>;
  /** The peer's extended data of type 1, stderr. Shares the window: a session's owner reads both. */
  readonly stderr: AsyncIterable<Uint8Array>;
  /** Resolves when all of `chunk` is handed to the transport. Rejects with `unreachable` when the channel closes first. */
  write(chunk: Uint8Array): Promise<void>;
  writeStderr(chunk: Uint8Array): Promise<void>;
  /** Sends EOF after what was written; reading goes on. */
  end(): Promise<void>;
  /** Sends a channel request; with `wantReply` resolves to whether the peer said success, else to true at once. */
  request(name: string, payload: Uint8Array, wantReply: boolean): Promise<boolean>;
  /**
   * Sets who answers the peer's requests, one at a time in order. True is success, false or a throw is failure. An
   * unknown name should answer false. Requests that came earlier are delivered when this is set.
   */
  onRequest(
    handler: (name: string, payload: Uint8Array, wantReply: boolean) => Promise<boolean> | boolean,
  ): void;
  /** Resolves when both sides have closed the channel, or the connection is gone. */
  readonly closed: Promise<void>;
  /** Aborts when the connection is over, also long after the channel was closed: nobody waits for what is left then. */
  readonly gone: AbortSignal;
  /**
   * Sends CLOSE (after pending writes unless the connection is gone) and waits for the peer's. With `discard`, writes
   * that wait for credit are given up: the way out when the peer has stopped reading.
   */
  close(options?: { readonly discard?: boolean }): Promise<void>;
}

/** A channel that a peer asked for, not answered yet (RFC 4254 §5.1). */
export interface ChannelRequest {
  readonly kind: string;
  /** What the channel type adds to CHANNEL_OPEN, e.g. host and port of `direct-tcpip`. */
  readonly extra: Uint8Array;
  accept(extra?: Uint8Array): Channel;
  reject(reason: number, message: string): void;
}

/** RFC 4254 §5.1. */
export const OpenFailure = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4,
} as const;

/** An authenticated SSH connection: channels and global requests, both directions (RFC 4254). */
export interface Connection extends AsyncDisposable {
  readonly remoteVersion: string;
  readonly sessionId: Uint8Array;
  /** Opens a channel. Rejects with `unreachable` and the peer's text (kept in `details.reason` too) when refused. */
  open(kind: string, extra?: Uint8Array): Promise<{ channel: Channel; extra: Uint8Array }>;
  /**
   * Sets who decides on channels the peer opens. A request that has no answer when the handler has returned (or, for an
   * async one, when its promise has settled) is refused. Before a handler is set all are refused, but for those that
   * came with the end of authentication: they wait until the caller of `connect` or `accept` had its turn.
   */
  onOpen(handler: (request: ChannelRequest) => void | Promise<void>): void;
  /** Sends a global request (RFC 4254 §4). With `wantReply`: the reply's payload on success, undefined on failure. */
  request(name: string, payload: Uint8Array, wantReply: boolean): Promise<Uint8Array | undefined>;
  /** Sets who answers global requests, in order: a payload (possibly empty) or true is success, false is failure. */
  onRequest(
    handler: (
      name: string,
      payload: Uint8Array,
      wantReply: boolean,
    ) => Promise<Uint8Array | boolean> | Uint8Array | boolean,
  ): void;
  /** Resolves when the connection is over; with the reason if it was not orderly. */
  readonly closed: Promise<Error | undefined>;
  /** Has both sides make new keys (RFC 4253 §9) before it is time. */
  rekey(): void;
  /** Ends it: DISCONNECT by application with this text. */
  disconnect(message?: string): void;
}

/** The bridge to everything in Node that wants a stream: sockets, ptys, TLS, pipeline(). Half-close is kept both ways. */
export function duplex(channel: Channel): Duplex {
  const incoming = channel[Symbol.asyncIterator]();
  return new Duplex({
    allowHalfOpen: true,
    read() {
      incoming.next().then(
        ({ done, value }) => this.push(done ? null : value),
        (err: Error) => this.destroy(err),
      );
    },
    write: (chunk: Uint8Array, _encoding, done) => void channel.write(chunk).then(() => done(), done),
    final: (done) => void channel.end().then(() => done(), done),
    // As with a socket, not to wait for the other side: it may never close its own.
    destroy(err, done) {
      void channel.close({ discard: true });
      done(err);
    },
  });
}
