import { isIP } from "node:net";
import { Fault } from "#core/errors";
import { inRanges, parseAddress, sourceOf } from "#net";
import { record } from "../audit.ts";
import { type Parts, rfc3339 } from "../parts.ts";
import { lockFor, window } from "./attempts.ts";
import { Crowd } from "./crowd.ts";
import { Turns } from "./turns.ts";

/**
 * So many failures of one source within `window`, whatever the names, lock it for `lockFor`. More than for a name: an office
 * may be one source. A success in between does not forgive, or whoever has an account could guess at all others.
 */
export const mostOfSource = 50;
const isLoopback = inRanges(["127.0.0.0/8", "::1"]);

/**
 * Failed logins by where they come from, as the proxy saw it: one IPv4 address, or a /64 of IPv6. They stop who tries one
 * password on many names. Logins that come from a proxy's own address count for nobody: there a balancer hides who it was.
 */
export class Sources {
  readonly #parts: Parts;
  readonly #crowd: Crowd;
  // As many as are checked at once may fail at once.
  readonly #turns = new Turns(1000);

  constructor(parts: Parts) {
    const { sources, backend } = parts.store;
    this.#parts = parts;
    this.#crowd = new Crowd({ backend, prefix: sources.prefix }, () => false);
  }

  /** Throws `access_denied` while logins from there are locked. */
  async refuseLocked(clientAddress: string): Promise<void> {
    const source = sourceIn(clientAddress);
    if (source === undefined) return;
    const found = await this.#parts.store.sources.find(source);
    const until = found?.lockedUntil;
    if (until === undefined || until <= this.#parts.clock.now()) return;
    throw new Fault(
      "access_denied",
      `too many failed logins from your address, locked until ${rfc3339(until)}`,
      { details: { code: "locked" } },
    );
  }

  async count(clientAddress: string): Promise<void> {
    const source = sourceIn(clientAddress);
    if (source === undefined || (await this.#isOurs(source))) return;
    await this.#turns.take(source, () => this.#count(source));
  }

  async #count(source: string): Promise<void> {
    const { store, clock } = this.#parts;
    const now = clock.now();
    const until = now + lockFor;
    let counted: "first" | "more" | "last" = "more";
    await store.sources.update(
      source,
      (before) => {
        const at = before && before.since > now - window ? before : { source, since: now, failures: 0 };
        const failures = at.failures + 1;
        counted = failures >= mostOfSource ? "last" : before ? "more" : "first";
        // After a lock the count begins anew.
        return failures < mostOfSource
          ? { ...at, failures }
          : { source, since: now, failures: 0, lockedUntil: until };
      },
      now + window,
    );
    // The compiler does not see that the callback has run.
    const what = counted as "first" | "more" | "last";
    if (what === "first") await this.#crowd.added();
    if (what === "last") await record(this.#parts, { code: "T4101W", source, until: rfc3339(until) });
  }

  /** Whether one of the cluster's proxies is there. */
  async #isOurs(source: string): Promise<boolean> {
    const proxies = await this.#parts.store.proxies.list();
    return proxies
      .flatMap(({ spec }) => [spec.addr, spec.ssh_addr, spec.web_addr, spec.public_addr])
      .some((address) => address !== undefined && sourceIn(address) === source);
  }
}

/** The source of `host:port`; undefined for what is no address, and for this machine itself. */
function sourceIn(address: string): string | undefined {
  let host: string;
  try {
    ({ host } = parseAddress(address, 0));
  } catch {
    return undefined;
  }
  return isIP(host) === 0 || isLoopback(host) ? undefined : sourceOf(host);
}
