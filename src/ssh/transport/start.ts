import type { Duplex } from "node:stream";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Brought } from "../brought/line.ts";
import { offer, withHostKeys } from "../crypto/algorithms.ts";
import type { PublicKey, Signer } from "../keys/key.ts";
import type { Algorithms, RekeyLimits } from "../server.ts";
import type { PacketTransport } from "./packets.ts";
import { Transport, type TransportParts } from "./transport.ts";

export interface TransportOptions {
  /** A socket, or any byte stream; the transport owns it from here on. */
  readonly stream: Duplex;
  /** Software part of the version line, e.g. `Teleport`. */
  readonly version: string;
  readonly algorithms?: Algorithms;
  readonly rekey?: RekeyLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the connection whenever it aborts, during the handshake (which has no other limit of time) or later. */
  readonly signal: AbortSignal;
}

export interface ClientTransportOptions extends TransportOptions {
  /** Throws a `protocol` fault for what is no key. */
  readonly parseHostKey: (blob: Uint8Array) => PublicKey;
  /** Throws to refuse the host (`access_denied`); asked only about a key that has signed the exchange. */
  readonly verifyHost: (key: PublicKey) => void | Promise<void>;
  /** Written before our version line; a function waits for the server's and may decide by it. */
  readonly preamble?: Uint8Array | ((remoteVersion: string) => Uint8Array | undefined);
}

export interface ServerTransportOptions extends TransportOptions {
  /** Certified keys first, plain last. */
  readonly hostKeys: readonly Signer[];
  /** Takes a PROXY line before the client's version; throws to refuse it. Without it there may be none. */
  readonly onProxyLine?: (line: string) => void;
}

export interface ServerTransport extends PacketTransport {
  /** What a proxy said before the client's version. */
  readonly brought: Brought | undefined;
}

/**
 * Versions and the first key exchange, as the client. Rejects with `protocol` (hostile or no SSH), `unreachable` (the
 * stream ended), or what `verifyHost` threw; the stream is closed then.
 */
export async function startClientTransport(options: ClientTransportOptions): Promise<PacketTransport> {
  const { parseHostKey, verifyHost, preamble } = options;
  return await started({
    ...common(options),
    offer: offer(options.algorithms),
    party: { role: "client", parseHostKey, verifyHost },
    preamble,
  });
}

/** Versions and the first key exchange, as the server. Rejects as `startClientTransport` does. */
export async function startServerTransport(options: ServerTransportOptions): Promise<ServerTransport> {
  const able = withHostKeys(offer(options.algorithms), options.hostKeys);
  if (able.hostKeys.length === 0)
    throw new Fault("bad_parameter", "no host key fits the host key algorithms that are allowed");
  return await started({
    ...common(options),
    offer: able,
    party: { role: "server", hostKeys: options.hostKeys },
    preamble: undefined,
    ...(options.onProxyLine && { onProxyLine: options.onProxyLine }),
  });
}

async function started(parts: TransportParts): Promise<Transport> {
  const transport = new Transport(parts);
  await transport.ready;
  return transport;
}

function common(options: TransportOptions): Omit<TransportParts, "offer" | "party" | "preamble"> {
  const { stream, version, rekey = {}, clock, log, signal } = options;
  if (!/^[\x21-\x2c\x2e-\x7e]{1,200}$/.test(version))
    throw new Fault("bad_parameter", `${JSON.stringify(version)} cannot stand in an SSH version line`);
  return { stream, version: `SSH-2.0-${version}`, rekey, clock, log, signal };
}
