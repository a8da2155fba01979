import { join, resolve } from "node:path";
import { type Credentials, expiryOf, Keystore, type Profile, Profiles, parseProxy, proxyHost } from "#client";
import { systemClock } from "#core/clock";
import type { Io } from "../io.ts";
import type { TshContext } from "./globals.ts";

/** What `~/.tsh` holds (TSH-50). */
export interface Home {
  readonly profiles: Profiles;
  readonly keystore: Keystore;
}

export function openHome({ machine }: Pick<Io, "machine">): Home {
  const folder = join(machine.home, ".tsh");
  return { profiles: new Profiles(folder), keystore: new Keystore(folder) };
}

/** Where the agent of `tsh agent` listens. */
export const agentSocket = ({ machine }: Pick<Io, "machine">): string =>
  resolve(machine.home, ".tsh", "agent.sock");

/** The profile that the flags mean: of the proxy they name, or the current one; undefined when there is none. */
export async function chosenProfile(
  { flags }: Pick<TshContext, "flags">,
  { profiles }: Home,
): Promise<Profile | undefined> {
  if (flags.proxy === undefined) return profiles.read();
  const { host, webPort } = parseProxy(flags.proxy);
  const profile = await profiles.read(host);
  // One host may have proxies of several clusters behind different ports. By an alias ports say nothing.
  const isOther =
    profile !== undefined &&
    webPort !== undefined &&
    proxyHost(profile) === host &&
    !profile.webProxyAddr.endsWith(`:${webPort}`);
  return isOther ? undefined : profile;
}

/** A login that is still good. */
export interface Login {
  readonly profile: Profile;
  readonly credentials: Credentials;
}

/** The login that the flags mean, if it is there and not over. */
export async function currentLogin(
  context: Pick<TshContext, "flags">,
  home: Home,
): Promise<Login | undefined> {
  const profile = await chosenProfile(context, home);
  if (!profile) return undefined;
  const user = context.flags.user ?? profile.user;
  const credentials = await home.keystore.load(proxyHost(profile), user);
  if (!credentials || expiryOf(credentials) <= systemClock.now()) return undefined;
  return { profile: { ...profile, user }, credentials };
}
