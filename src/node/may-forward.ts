import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Fault } from "#core/errors";
import type { AddressesOf, Destination, Labels } from "#model";
import type { Visit } from "./visit.ts";

/** What a client is told whose roles do not let it forward. The audit log has the reason too. */
const forbidden = "port forwarding not allowed";

/** Throws `access_denied` when the visitor's roles do not let anything be forwarded (RBAC-11). */
export function mayForward({ person }: Visit): void {
  const { allowed, reason } = person.access.forwards();
  if (!allowed) throw refusal(reason);
}

/**
 * Of the places that were asked for, those that the visitor's roles open, in their order. Hosts that roles name are looked up
 * here and now. Throws `access_denied` when there is none.
 */
export async function permitted<D extends Destination>(
  places: readonly D[],
  { person, account }: Visit,
  labels: Labels,
): Promise<readonly D[]> {
  const { access } = person;
  const known = new Map<string, readonly string[] | undefined>(
    await Promise.all(
      access.namedHosts.map(async (name) => [name, await addressesOf(name).catch(missing)] as const),
    ),
  );
  const at = { login: account.name, labels, addressesOf: ((name) => known.get(name)) as AddressesOf };
  const decided = places.map((place) => ({ place, decision: access.forward(place, at) }));
  const open = decided.filter(({ decision }) => decision.allowed).map(({ place }) => place);
  if (open.length === 0) throw refusal(decided[0]?.decision.reason ?? "the host has no address");
  return open;
}

/** Where a host is, as this machine's resolver sees it. Throws `unreachable`. */
export async function addressesOf(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    const why = code === "ENOTFOUND" ? "no such host" : "the name server does not answer";
    throw new Fault("unreachable", `cannot find ${host}: ${why}`, { cause, details: { code } });
  }
}

/** A host that does not exist is nowhere; one that cannot be looked up now may be anywhere. */
function missing(err: unknown): readonly string[] | undefined {
  return (err as Fault).details.code === "ENOTFOUND" ? [] : undefined;
}

const refusal = (reason: string): Fault =>
  new Fault("access_denied", forbidden, { cause: new Error(reason) });

/** What the audit log is told of a forward that was not made. */
export const causeOf = (err: unknown): string => {
  const { message, cause } = err as Error;
  return Fault.is(err, "access_denied") && cause instanceof Error ? `${message}: ${cause.message}` : message;
};
