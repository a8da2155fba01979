import { Fault } from "#core/errors";
import type { Destination, Labels } from "#model";
import { addressesOfAll } from "#net";
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
  const known = await addressesOfAll(access.namedHosts);
  const at = { login: account.name, labels, addressesOf: (name: string) => known.get(name) };
  const decided = places.map((place) => ({ place, decision: access.forward(place, at) }));
  const open = decided.filter(({ decision }) => decision.allowed).map(({ place }) => place);
  if (open.length === 0) throw refusal(decided[0]?.decision.reason ?? "the host has no address");
  return open;
}

const refusal = (reason: string): Fault =>
  new Fault("access_denied", forbidden, { cause: new Error(reason) });

/** What the audit log is told of a forward that was not made. */
export const causeOf = (err: unknown): string => {
  const { message, cause } = err as Error;
  return Fault.is(err, "access_denied") && cause instanceof Error ? `${message}: ${cause.message}` : message;
};
