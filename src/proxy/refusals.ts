// What clients ask of the proxy that it does for nobody: listening, Unix sockets, channels of other kinds. Each leaves an audit event,
// and nobody fills the log with them.
import type { Clock, Millis } from "#core/clock";
import { minute } from "#core/clock";
import type { Draft } from "#events";
import { formatAddress } from "#net";
import { DirectStreamlocal, StreamlocalForward, TcpipForward } from "#ssh/forward";

/** Of one user so many are written down at once, and one more each minute. */
const atOnce = 10;
const oneMoreEach: Millis = minute;
/** Characters of what a client named that are kept. */
const longest = 512;

interface Account {
  /** When all of it would be free again, if nothing more came. */
  freeAt: Millis;
  /** Refusals that were not written down since the last one that was. */
  left: number;
}

/** Bounds how many refusals are written down, for each user over all connections. */
export class Refusals {
  readonly #clock: Clock;
  readonly #accounts = new Map<string, Account>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Users that are remembered. */
  get size(): number {
    return this.#accounts.size;
  }

  /** Undefined: this one is not written down. Else how many were not since the last one that was. */
  admit(user: string): number | undefined {
    const now = this.#clock.uptime();
    const account = this.#accounts.get(user) ?? this.#add(user, now);
    const freeAt = Math.max(account.freeAt, now) + oneMoreEach;
    if (freeAt - now > atOnce * oneMoreEach) {
      account.left++;
      return undefined;
    }
    const { left } = account;
    account.freeAt = freeAt;
    account.left = 0;
    return left;
  }

  #add(user: string, now: Millis): Account {
    for (const [name, { freeAt }] of this.#accounts) if (freeAt <= now) this.#accounts.delete(name);
    const account: Account = { freeAt: now, left: 0 };
    this.#accounts.set(user, account);
    return account;
  }
}

/** What is told of one refusal; the proxy adds whose it is. */
export type Refusal = Pick<Draft, "code"> & Partial<Draft> & { readonly error: string };

/** The event of a global request; undefined for those that ask for nothing that we refuse. */
export function refusedRequest(name: string, payload: Uint8Array): Refusal | undefined {
  try {
    if (name === "tcpip-forward") {
      const addr = shortened(formatAddress(TcpipForward.decode(payload)));
      return { code: "T4032E", addr, success: false, error: "the proxy listens for nobody" };
    }
    if (name === "streamlocal-forward@openssh.com") {
      const path = shortened(StreamlocalForward.decode(payload).path);
      return socket(path, "remote", "the proxy listens for nobody");
    }
  } catch {
    return denied(`the request ${name} is malformed`);
  }
  return undefined;
}

/** The event of a channel of a kind that the proxy does not serve. */
export function refusedChannel(kind: string, extra: Uint8Array): Refusal {
  try {
    if (kind === "direct-streamlocal@openssh.com")
      return socket(shortened(DirectStreamlocal.decode(extra).path), "local", "the proxy opens no sockets");
  } catch {
    // Told as any other.
  }
  return denied(`the proxy serves no ${JSON.stringify(shortened(kind))} channels`);
}

const socket = (path: string, direction: "local" | "remote", error: string): Refusal => ({
  code: "T4033E",
  path,
  direction,
  success: false,
  error,
});
const denied = (error: string): Refusal => ({ code: "T3007W", success: "false", error });

const shortened = (text: string): string => (text.length > longest ? `${text.slice(0, longest)}…` : text);
