import { expiryOf, identityFile, type Profile, parseProxy, profileAt, proxyHost } from "#client";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import type { TshContext } from "./globals.ts";
import { chosenProfile, type Home, type Login } from "./home.ts";

/**
 * The login that an identity file holds (TSH-05, TSH-55). Of what is kept here only the addresses of its cluster's proxy count, and
 * the hosts without certificates that the user once trusted.
 */
export async function identityLogin(
  context: Pick<TshContext, "flags" | "io">,
  path: string,
  home: Home,
): Promise<Login> {
  const { credentials, cluster } = await identityOf(context, path);
  const { user } = credentials;
  const hostKeys = await home.keystore.trusted();
  const profile = await profileOf(context, home, user, cluster);
  return { profile, credentials: { ...credentials, hostKeys } };
}

/** Reads an identity file and says when its time is over: what it is shown to will refuse it, without saying why. */
export async function identityOf({ io }: Pick<TshContext, "io">, path: string) {
  const identity = await (await identityFile()).readIdentity(path, io.machine.uid);
  const ends = expiryOf(identity.credentials);
  if (ends <= systemClock.now()) {
    io.err(`WARNING: the certificate has expired on ${new Date(ends).toISOString().replace(/\.\d+Z$/, "Z")}`);
  }
  return identity;
}

/** For commands that are about what is kept here. Throws `bad_parameter` with `-i`. */
export function refuseIdentity({ flags }: Pick<TshContext, "flags">): void {
  if (flags.identity !== undefined) throw new Fault("bad_parameter", "-i flag cannot be used here");
}

/** The proxy that the flags name, else that of a login to the same cluster. */
async function profileOf(
  context: Pick<TshContext, "flags">,
  home: Home,
  user: string,
  cluster: string,
): Promise<Profile> {
  const kept = await chosenProfile(context, home);
  const known = kept?.rootCluster === cluster ? { ...kept, user, cluster } : undefined;
  const { proxy } = context.flags;
  if (proxy !== undefined) {
    const named = parseProxy(proxy);
    // What it advertised counts more than the usual port.
    return known && named.sshPort === undefined ? known : profileAt(named, user, cluster);
  }
  if (known) return known;
  throw new Fault(
    "bad_parameter",
    `an identity file does not say where the proxy of ${cluster} is; name it with --proxy=HOST${kept ? `, for ${proxyHost(kept)} is the proxy of another cluster` : ""}`,
  );
}
