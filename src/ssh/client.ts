import type { Duplex } from "node:stream";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Connection } from "./connection/channel.ts";
import { openConnection } from "./connection/connection.ts";
import { within } from "./deadline.ts";
import type { PublicKey, Signer } from "./keys/key.ts";
import { parsePublicKey } from "./keys/public.ts";
import type { Algorithms, RekeyLimits } from "./server.ts";
import { startClientTransport } from "./transport/index.ts";
import { logIn } from "./userauth/client.ts";

export interface ClientOptions {
  readonly stream: Duplex;
  readonly user: string;
  /** Software part of the version line, e.g. `Teleport`. */
  readonly version: string;
  /** Tried in order: certificates and plain keys, in memory or in an agent. */
  readonly signers: readonly Signer[] | (() => Promise<readonly Signer[]>);
  /** Throws to refuse the host; its message reaches the user. See `keys/known-hosts.ts`. */
  readonly verifyHost: (key: PublicKey) => void | Promise<void>;
  /** Called with the server's banner (RFC 4252 §5.4), untrusted text. */
  readonly onBanner?: (text: string) => void;
  /**
   * Written to the stream before our version line (SSH-01: the proxy tells a node the client's address). A function
   * is asked once the server's version is known, and may decide by it.
   */
  readonly preamble?: Uint8Array | ((remoteVersion: string) => Uint8Array | undefined);
  readonly algorithms?: Algorithms;
  readonly rekey?: RekeyLimits;
  readonly keepAlive?: { readonly every: Millis; readonly count: number };
  /** Time for the handshake and authentication; default 30 s. */
  readonly timeout?: Millis;
  readonly clock: Clock;
  readonly log: Log;
}

/** A connection of ours to a server. */
export interface ClientConnection extends Connection {
  /** The server's key or certificate, which `verifyHost` has accepted. */
  readonly hostKey: PublicKey;
}

/**
 * Connects and logs in over a stream, which is owned from here on. `signal` ends the connection whenever it aborts,
 * also later. Rejects with what `verifyHost` threw, `access_denied` when no key is accepted, `protocol` or
 * `unreachable`; the stream is closed then.
 */
export async function connect(options: ClientOptions, signal: AbortSignal): Promise<ClientConnection> {
  const { clock, timeout = 30 * second } = options;
  const late = new Fault("unreachable", "the server did not let us in in time");
  return await within(timeout, late, clock, signal, async (bounded) => {
    const transport = await startClientTransport({
      ...options,
      parseHostKey: parsePublicKey,
      signal: bounded,
    });
    return await logIn(transport, options, () =>
      Object.assign(openConnection(transport, options), { hostKey: transport.hostKey as PublicKey }),
    );
  });
}
