import { type AuthClient, openAuthClient } from "#authclient";
import { type Address, dialFirst } from "#net";
import { readIdentity } from "./identity.ts";

/**
 * A client of the auth API as the administrator, by the identity that the auth service left in its data directory.
 * Undefined when there is none: this is not the auth service's host. The addresses are tried in order.
 */
export async function openAdmin(parts: {
  readonly dataDir: string;
  readonly addresses: readonly Address[];
  readonly version: string;
}): Promise<AuthClient | undefined> {
  const identity = await readIdentity(parts.dataDir, "Admin");
  if (!identity) return undefined;
  const never = new AbortController().signal;
  return openAuthClient({
    dial: () => dialFirst(parts.addresses, never),
    certificate: identity.tls,
    authorities: identity.authorities,
    version: parts.version,
  });
}
