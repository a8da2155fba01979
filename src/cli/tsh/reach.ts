import {
  authApi,
  type ConnectOptions,
  type Credentials,
  formatPublicKeyLine,
  type HostKey,
  type Jump,
  ProxyConnection,
  relearning,
  signerOf,
} from "#client";
import { authoritiesDigest } from "#contract/names";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import type { Node } from "#model";
import { printable, printableLines } from "../text.ts";
import { productVersion } from "../version.ts";
import type { TshContext } from "./globals.ts";
import { type Home, type Login, openHome } from "./home.ts";

/** How to connect where a command has wishes of its own. */
export interface Wishes extends Pick<ConnectOptions, "timeout" | "keepAlive" | "knownHosts"> {
  /** Through these in place of the profile's proxy, logged in to as `login`. */
  readonly jumps?: readonly Jump[];
  readonly login?: string;
  /** Whose hosts are to be reached, where that is not the proxy's own cluster. */
  readonly cluster?: string;
  /** Show no banners. */
  readonly quiet?: boolean;
}

/** Connects to the proxy of a login. */
export async function openProxy(
  context: Pick<TshContext, "io" | "signal">,
  login: Login,
  { jumps = [], login: user = "", quiet = false, cluster, ...wishes }: Wishes = {},
): Promise<ProxyConnection> {
  const { io, signal } = context;
  const { profile, credentials } = login;
  const options: ConnectOptions = {
    proxy: profile.sshProxyAddr,
    cluster: profile.rootCluster,
    signer: signerOf(credentials),
    authorities: credentials.hostAuthorities,
    hostKeys: credentials.hostKeys,
    clock: systemClock,
    log: silentLog,
    ...(!quiet && { onBanner: (text: string) => io.err(printableLines(text.trimEnd())) }),
    ...wishes,
  };
  if (jumps.length > 0) return ProxyConnection.jump(options, jumps, user, signal);
  const proxy = await ProxyConnection.open(options, signal);
  const root = profile.rootCluster;
  const clusters = cluster === undefined || cluster === root ? [root] : [root, cluster];
  proxy.alongside(keepAuthorities(context, login, proxy, clusters).catch(() => {}));
  return proxy;
}

/** Notices a rotation of a host CA while what is known of it still counts. What fails is tried again by the next command. */
async function keepAuthorities(
  context: Pick<TshContext, "io" | "signal">,
  login: Login,
  proxy: ProxyConnection,
  clusters: readonly string[],
): Promise<void> {
  const { hostAuthorities } = login.credentials;
  const changed = async (cluster: string): Promise<boolean> => {
    const said = await proxy.authorities(cluster);
    const known = hostAuthorities.filter((one) => one.cluster === cluster);
    return said !== undefined && said !== authoritiesDigest(known.map((one) => formatPublicKeyLine(one)));
  };
  const found = await Promise.all(clusters.map(changed));
  if (found.includes(true) && login.credentials.tls) await relearn(context, login, proxy);
}

/** What the cluster's auth service says certifies hosts now, here and in the clusters behind it; kept for the next command too. */
export async function relearn(
  { io, signal }: Pick<TshContext, "io" | "signal">,
  { profile, credentials }: Login,
  proxy: ProxyConnection,
): Promise<Pick<Credentials, "tlsAuthorities" | "hostAuthorities">> {
  const [{ openAuth }, { relearnAuthorities }] = await Promise.all([authApi(), relearning()]);
  const cluster = profile.rootCluster;
  const auth = openAuth(proxy, credentials, { cluster, version: productVersion() });
  try {
    return await relearnAuthorities(auth, openHome(io).keystore, profile, signal);
  } finally {
    auth.close();
  }
}

/** The nodes of a cluster that have all of `labels`, by name (TSH-43). */
export async function nodesOf(
  { signal }: TshContext,
  proxy: ProxyConnection,
  credentials: Credentials,
  cluster: string,
  labels: Readonly<Record<string, string>>,
): Promise<Node[]> {
  const [{ openAuth }, { sortNodes, withLabels }] = await Promise.all([authApi(), import("../nodes.ts")]);
  const auth = openAuth(proxy, credentials, { cluster, version: productVersion() });
  try {
    return sortNodes(withLabels(await auth["nodes.list"]({}, signal), labels));
  } finally {
    auth.close();
  }
}

/** The login on the host: what was said, else one's own name here or in the cluster, whichever may log in (TSH-27). */
export function loginFor(
  said: string | undefined,
  { profile, credentials }: Login,
  { user }: TshContext["io"]["machine"],
): string {
  if (said !== undefined) return said;
  const allowed = credentials.certificate?.certificate?.principals ?? [];
  return [user, profile.user].find((name) => allowed.includes(name)) ?? user;
}

/** Asks whether a host that has no certificate is to be trusted (TSH-25); remembers a yes. */
export const askAboutHost =
  (
    { io, signal }: Pick<TshContext, "io" | "signal">,
    { keystore }: Home,
    remember = (host: HostKey): Promise<void> => keystore.trust(host),
  ) =>
  async (host: HostKey): Promise<void> => {
    const refused = new Fault(
      "access_denied",
      `${host.host} has no certificate of the cluster and its key is not known: it cannot be told from an impostor`,
    );
    if (!io.terminal.stdin) throw refused;
    const { fingerprint } = await import("#client");
    io.err(`The host ${printable(host.host)} has no certificate of the cluster.`);
    io.err(`The fingerprint of its ${host.key.type} key is ${fingerprint(host.key)}.`);
    const answer = await io.ask("Do you trust it and want to go on (yes/no)?", signal);
    if (answer.trim().toLowerCase() !== "yes") throw refused;
    await remember(host);
  };
