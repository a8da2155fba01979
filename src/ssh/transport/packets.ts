import type { Fault } from "#core/errors";
import type { PublicKey } from "../keys/key.ts";

/**
 * The seam between the transport (RFC 4253) and what stands on it, user authentication (RFC 4252) and the connection
 * protocol (RFC 4254): whole payloads, in order, encrypted below. The transport answers for itself what is its own:
 * KEXINIT and everything of a (re-)key exchange, IGNORE, DEBUG, UNIMPLEMENTED, EXT_INFO, DISCONNECT, ping@openssh.com.
 * Tests of the upper layers use an in-memory pair of these (`testing/packet-pair.ts`), with no crypto and no sockets.
 */
export interface PacketTransport {
  readonly role: "client" | "server";
  /** The exchange hash of the first key exchange (RFC 4253 §7.2); never changes, also after a re-key. */
  readonly sessionId: Uint8Array;
  /** The peer's version line without CR LF, e.g. `SSH-2.0-OpenSSH_9.2p1 Debian-2`. */
  readonly remoteVersion: string;
  /** On the client: the host key, possibly a certificate, that signed the exchange and that `verifyHost` accepted. */
  readonly hostKey: PublicKey | undefined;
  /** What the peer said by EXT_INFO (RFC 8308) so far, e.g. `server-sig-algs`. */
  readonly extensions: ReadonlyMap<string, Uint8Array>;
  /** Bytes encrypted or queued that the stream below has not taken yet. */
  readonly buffered: number;

  /**
   * Sends one payload: `head`, followed by `data` when given. Both are copied or encrypted before the call returns, so
   * the caller may reuse them. False when the caller should wait for `drain()` before it sends more bulk data.
   * During a key exchange payloads are held back in a bounded queue (RFC 4253 §7.1). No-op once closed.
   */
  send(head: Uint8Array, data?: Uint8Array): boolean;
  /** Resolves when `buffered` has fallen below the high-water mark, or the transport has closed. */
  drain(): Promise<void>;

  /**
   * Sets who gets the payloads that are not the transport's own. Replaces the one before; called synchronously, one
   * payload at a time, and the payload belongs to the receiver. A `Fault` thrown by it disconnects with its message.
   * Payloads that arrived while nobody had called are delivered first.
   */
  receive(handler: (payload: Uint8Array) => void): void;
  /** Answers the payload being handled with SSH_MSG_UNIMPLEMENTED (RFC 4253 §11.4). */
  unimplemented(): void;
  /** From here on the connection is authenticated: larger packets are allowed, client and server drop pre-auth limits. */
  authenticated(): void;

  /** Asks for new keys (RFC 4253 §9) before it is time. No-op before login, and while keys are being made. */
  rekey(): void;
  /** Sends DISCONNECT (RFC 4253 §11.1) and closes. */
  disconnect(reason: number, message: string): void;
  /** Resolves once, when the connection is over: with the fault that ended it, or undefined after an orderly end. */
  readonly closed: Promise<Fault | undefined>;
}

/** RFC 4253 §11.1. */
export const DisconnectReason = {
  hostNotAllowed: 1,
  protocolError: 2,
  keyExchangeFailed: 3,
  macError: 5,
  serviceNotAvailable: 7,
  hostKeyNotVerifiable: 9,
  connectionLost: 10,
  byApplication: 11,
  tooManyConnections: 12,
  noMoreAuthMethods: 14,
  illegalUserName: 15,
} as const;
