import type { Duplex } from "node:stream";
import { type Clock, type Millis, minute } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Brought } from "./brought/line.ts";
import type { Connection } from "./connection/channel.ts";
import { openConnection } from "./connection/connection.ts";
import type { ConnectionLimits } from "./connection/limits.ts";
import { within } from "./deadline.ts";
import type { PublicKey, Signer } from "./keys/key.ts";
import { startServerTransport } from "./transport/index.ts";
import { admit } from "./userauth/server.ts";

/** Names of algorithms, best first; each defaults to all we know, see `crypto`. Unknown names throw `bad_parameter`. */
export interface Algorithms {
  readonly kex?: readonly string[];
  readonly ciphers?: readonly string[];
  readonly macs?: readonly string[];
  readonly hostKeys?: readonly string[];
}

/** When a connection asks for new keys by itself (RFC 4253 §9). */
export interface RekeyLimits {
  /** Bytes in one direction under one key. */
  readonly bytes?: number;
  readonly every?: Millis;
}

/** One try to log in by public key; `user` is the name the client asks for. The signature has been verified. */
export interface PublicKeyAttempt {
  readonly user: string;
  readonly key: PublicKey;
  /** The signature algorithm the client used. */
  readonly algorithm: string;
  /** What a proxy said of the connection. */
  readonly brought?: Brought;
}

export interface ServerOptions<Identity> {
  readonly stream: Duplex;
  /** Certified keys first, plain last. A certificate's plain key is offered too only when it is listed here. */
  readonly hostKeys: readonly Signer[];
  /** Software part of the version line, e.g. `Teleport`. */
  readonly version: string;
  /**
   * Whether this key would be accepted: a pure question, asked for key queries and again before the signature counts.
   * Throws `access_denied` with the reason, which goes to the log and audit, never to the client unless it is the time
   * (`details.clock` of `checkCertificate`).
   */
  readonly check: (attempt: PublicKeyAttempt) => Promise<Identity>;
  /** Told of every refused attempt (a refused query too, but not the first `none`), with the fault of `check`. */
  readonly onRefused?: (attempt: { user: string; key?: PublicKey; method: string }, reason: unknown) => void;
  /**
   * Takes a line of the PROXY protocol, with its CR LF, that stands before the client's version line; throws to refuse it.
   * For peers that are believed about whose connection they bring; without it such a line is refused.
   */
  readonly onProxyLine?: (line: string) => void;
  /** Shown before authentication (RFC 4252 §5.4). */
  readonly banner?: string;
  readonly algorithms?: Algorithms;
  readonly rekey?: RekeyLimits;
  /** Time from the first byte to authentication; default 2 min. */
  readonly loginGrace?: Millis;
  /** Refused attempts, `none` counted too from the second on, before the connection is ended; default 6. */
  readonly maxAuthTries?: number;
  readonly keepAlive?: { readonly every: Millis; readonly count: number };
  /** What one connection may take of us once it has logged in. */
  readonly limits?: ConnectionLimits;
  /** Told once how the login went, for whoever counts logins by their source. Not when a stranger left without a word. */
  readonly guest?: {
    loggedIn(): void;
    failed(how: "refused" | "late" | "broken" | "left"): void;
  };
  readonly clock: Clock;
  readonly log: Log;
}

/** An authenticated connection and what `check` answered for the key that signed. */
export interface Accepted<Identity> {
  readonly connection: Connection;
  readonly user: string;
  readonly identity: Identity;
  /** `ip:port` that a proxy named for its client (SSH-01). Anyone may write it: for the record, never for access. */
  readonly clientAddress: string | undefined;
}

/**
 * Serves one connection up to its login. The stream is owned from here on; `signal` ends the connection whenever it
 * aborts, also later. Channels that come with the login wait until the caller had its turn to call `onOpen`.
 * Rejects with `access_denied`, `protocol`, `unreachable` or `limit_exceeded`; the stream is closed then.
 */
export async function accept<Identity>(
  options: ServerOptions<Identity>,
  signal: AbortSignal,
): Promise<Accepted<Identity>> {
  const { clock, loginGrace = 2 * minute, guest } = options;
  let refused = false;
  const onRefused: ServerOptions<Identity>["onRefused"] = (attempt, reason) => {
    refused = true;
    options.onRefused?.(attempt, reason);
  };
  try {
    const late = new Fault("limit_exceeded", "the client did not log in in time", {
      details: { limit: "login_grace" },
    });
    return await within(loginGrace, late, clock, signal, async (bounded) => {
      const transport = await startServerTransport({ ...options, signal: bounded });
      const { brought } = transport;
      const check = brought
        ? (attempt: PublicKeyAttempt) => options.check({ ...attempt, brought })
        : options.check;
      return await admit(transport, { ...options, check, onRefused }, ({ user, identity }) => {
        guest?.loggedIn();
        return {
          connection: openConnection(transport, options),
          user,
          identity,
          clientAddress: brought?.clientAddress,
        };
      });
    });
  } catch (err) {
    const how = refused ? "refused" : failureOf(err);
    if (how) guest?.failed(how);
    throw err;
  }
}

function failureOf(err: unknown): "late" | "broken" | "left" | undefined {
  if (!(err instanceof Fault) || err.kind === "internal") return undefined;
  if (err.details.limit === "login_grace") return "late";
  if (err.kind !== "unreachable") return "broken";
  return err.details.said === "nothing" ? undefined : "left";
}
