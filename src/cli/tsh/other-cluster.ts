import { knowsCluster } from "#client";
import type { TshContext } from "./globals.ts";
import type { Home, Login } from "./home.ts";
import { needLogin } from "./log-in.ts";
import { openProxy, relearn } from "./reach.ts";

/** A login, and the cluster whose hosts a command is about. */
export interface ClusterLogin {
  readonly login: Login;
  readonly cluster: string;
}

/**
 * The login of a command that may be about another cluster than the proxy's own, by `--cluster` or what `tsh login` chose. One that
 * was linked after the login is asked about first: without its authority its hosts could not be told from impostors.
 */
export async function needLoginTo(
  context: TshContext & { readonly flags: { readonly cluster?: string | undefined } },
  home: Home,
): Promise<ClusterLogin> {
  const login = await needLogin(context, home);
  const { profile, credentials } = login;
  const cluster = context.flags.cluster ?? profile.cluster;
  const isKnown = cluster === profile.rootCluster || knowsCluster(credentials, cluster);
  // Without a TLS certificate there is nobody to ask; the host's own refusal says what is missing.
  if (isKnown || !credentials.tls) return { login, cluster };
  await using proxy = await openProxy(context, login, { quiet: true });
  const known = await relearn(context, login, proxy);
  return { login: { profile, credentials: { ...credentials, ...known } }, cluster };
}
