import type { Duplex } from "node:stream";
import type { Clock, Millis } from "#core/clock";
import type { Log } from "#core/log";
import type { PublicKey, Signer } from "./keys/key.ts";
import type { Algorithms, RekeyLimits } from "./server.ts";

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
  /** Written to the stream before our version line (SSH-01: the proxy tells a node the client's address). */
  readonly preamble?: Uint8Array;
  readonly algorithms?: Algorithms;
  readonly rekey?: RekeyLimits;
  readonly keepAlive?: { readonly every: Millis; readonly count: number };
  /** Time for the handshake and authentication; default 30 s. */
  readonly timeout?: Millis;
  readonly clock: Clock;
  readonly log: Log;
}
