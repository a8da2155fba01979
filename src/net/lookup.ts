import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Fault } from "#core/errors";

/**
 * Where a host is, as this machine's resolver sees it; an address is itself. Throws `not_found` for a name that does not exist,
 * `unreachable` when nobody can tell.
 */
export async function addressesOf(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOTFOUND")
      throw new Fault("not_found", `cannot connect to ${host}: no such host`, { cause });
    throw new Fault("unreachable", `cannot connect to ${host}: the name server does not answer`, { cause });
  }
}

/** The same for several: one that does not exist is nowhere, one that nobody can tell of is undefined. */
export async function addressesOfAll(
  hosts: readonly string[],
): Promise<ReadonlyMap<string, readonly string[] | undefined>> {
  const missing = (err: unknown): undefined | [] => (Fault.is(err, "not_found") ? [] : undefined);
  return new Map(
    await Promise.all(hosts.map(async (host) => [host, await addressesOf(host).catch(missing)] as const)),
  );
}
