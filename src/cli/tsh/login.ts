import { notFound } from "#core/errors";
import type { TshContext } from "./globals.ts";
import { chosenProfile, currentLogin, openHome } from "./home.ts";
import { isClusterOf, logIn } from "./log-in.ts";
import { showLogin } from "./status.ts";

/** `tsh login` (TSH-30): logs in, or with a login that is still good switches the cluster and says how it stands. */
export async function login(context: TshContext): Promise<number> {
  const { io, args } = context;
  const [positional] = args;
  const home = openHome(io);
  const current = await currentLogin(context, home);
  // Who names another way to log in than that of this login wants to be somebody else.
  const isOther = context.flags.auth !== undefined && context.flags.auth !== current?.profile.authType;
  if (!current || isOther) {
    const made = await logIn(context, home, await chosenProfile(context, home), positional);
    showLogin(io, made.profile, made.credentials);
    return 0;
  }
  const { profile, credentials } = current;
  // One's own name in the place of a cluster means the main one (TSH-34).
  const wanted = positional === profile.user ? profile.rootCluster : (positional ?? profile.cluster);
  if (positional !== undefined && !(await isClusterOf(context, profile, wanted))) {
    throw notFound("cluster", wanted);
  }
  const chosen = { ...profile, cluster: wanted };
  await home.profiles.write(chosen);
  showLogin(io, chosen, credentials);
  return 0;
}
