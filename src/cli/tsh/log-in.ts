import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Credentials,
  loadAgent,
  loginApi,
  openAgent,
  type Profile,
  type ProxyAddress,
  parseProxy,
  proxyHost,
  type WebClientOptions,
} from "#client";
import type { PingAnswer } from "#contract/web";
import { minute, systemClock } from "#core/clock";
import { formatDuration } from "#core/duration";
import { Fault, notFound } from "#core/errors";
import { isOlder } from "#core/version";
import { printable } from "../text.ts";
import { productVersion } from "../version.ts";
import type { TshContext } from "./globals.ts";
import { chosenProfile, currentLogin, type Home, type Login } from "./home.ts";

/** The login that a command acts with; asked for anew when it is missing or over and somebody is there to answer (TSH-14). */
export async function needLogin(context: TshContext, home: Home): Promise<Login> {
  const { identity } = context.flags;
  if (identity !== undefined) return (await import("./identity.ts")).identityLogin(context, identity, home);
  const login = await currentLogin(context, home);
  if (login) return bySshPort(context, login);
  const profile = await chosenProfile(context, home);
  const proxy = context.flags.proxy ?? profile?.webProxyAddr;
  if (!context.io.terminal.stdin || proxy === undefined) {
    const why = profile ? "your login has expired" : "you are not logged in";
    throw new Fault("access_denied", `${why}; log in with: tsh login --proxy=${proxy ?? "HOST"}`);
  }
  // The same way as the last time, whatever is the cluster's default.
  const auth = context.flags.auth ?? (profile?.authType || undefined);
  const again = { ...context, flags: { ...context.flags, auth } };
  return bySshPort(context, await logIn(again, home, profile));
}

/** The login by the SSH port that the flags name: for this command it counts more than what the profile remembers. */
function bySshPort({ flags }: TshContext, login: Login): Login {
  const sshPort = flags.proxy === undefined ? undefined : parseProxy(flags.proxy).sshPort;
  if (sshPort === undefined) return login;
  const { profile } = login;
  const sshProxyAddr = profile.sshProxyAddr.replace(/(:\d+)?$/, `:${sshPort}`);
  return { ...login, profile: { ...profile, sshProxyAddr } };
}

/**
 * Logs in by a provider, or with password and second factor, in the browser where that is a security key, and keeps what it brings
 * (OVW-26) unless `keep` is false. `profile` is the one of this proxy from before; `positional` is a cluster, or the user when nothing
 * else names one (TSH-34).
 */
export async function logIn(
  context: TshContext,
  home: Home,
  profile: Profile | undefined,
  positional?: string,
  keep = true,
): Promise<Login> {
  const { flags, io, signal } = context;
  const api = await loginApi();
  const typed = proxyOf(context, profile);
  const web = await webOptions(context, typed);
  if (web.insecure) io.err(`WARNING: nobody verifies that ${web.host} is your proxy (--insecure)`);
  const answer = await api.ping(web, flags.auth, signal);
  await checkVersion(context, answer.min_client_version);

  // Whom a provider named is nobody's local account.
  const before = !profile?.authType || profile.authType === "local" ? profile?.user : undefined;
  const named = flags.user ?? before;
  const known =
    positional !== undefined &&
    (positional === answer.cluster_name || (await api.clusterKnown(web, positional, signal)));
  const asked = {
    ttl: ttlOf(context) ?? api.defaultTtl,
    compatibility: flags.certFormat ?? flags.compat ?? ("" as const),
  };
  let credentials: Credentials;
  if (answer.auth.type === "local") {
    const user = named ?? (known ? undefined : positional) ?? io.machine.user;
    if (known && named === undefined) {
      io.err(
        `${printable(positional)} is taken for the cluster; to log in as that user: --user=${printable(positional)}`,
      );
    }
    if (user === "") throw new Fault("bad_parameter", "nobody knows your name here: give it with --user");
    credentials = await logInHere(context, web, answer.auth, { user, ...asked });
  } else {
    const { logInByProvider } = await import("./sso-login.ts");
    credentials = await logInByProvider(context, web, answer.auth, asked);
  }
  const { user } = credentials;

  const main = api.profileOf(typed, answer, user);
  const made: Profile = known ? { ...main, cluster: positional } : main;
  if (keep) {
    await home.keystore.save(proxyHost(made), credentials);
    await home.keystore.writeKnownHosts(proxyHost(made), made.rootCluster, credentials.hostAuthorities);
    await home.profiles.write(made, typed.host);
    await fillAgent(context, credentials);
  }
  warnOfClock(context, credentials);
  if (!credentials.certificate) {
    io.err(`WARNING: ${printable(user)} is allowed no login anywhere; ask an administrator for one`);
  }
  if (positional !== undefined && !known && positional !== user) throw notFound("cluster", positional);
  return { profile: made, credentials };
}

/** A login with an account of the cluster's own: by a password, and by the second factor that it asks for. */
async function logInHere(
  context: TshContext,
  web: WebClientOptions,
  auth: PingAnswer["auth"],
  asked: { readonly user: string; readonly ttl: number; readonly compatibility: "" | "standard" | "oldssh" },
): Promise<Credentials> {
  const { io, signal } = context;
  if (auth.second_factor === "webauthn")
    return (await import("./key-login.ts")).logInWithKey(context, web, auth, asked);
  const api = await loginApi();
  const password = await io.askSecret(`Enter password for Teleport user ${printable(asked.user)}:`, signal);
  const otpToken = auth.second_factor === "otp" ? await io.askSecret("Enter your OTP token:", signal) : "";
  return api.login(web, { ...asked, password, otpToken }, signal);
}

/** A new certificate begins a minute before the cluster's now (OVW-43): where clocks differ more than is borne, say so. */
function warnOfClock({ io }: TshContext, { certificate }: Credentials): void {
  const begun = Number(certificate?.certificate?.validAfter ?? 0) * 1000;
  if (begun === 0) return;
  const minutes = Math.round((systemClock.now() - begun) / minute) - 1;
  if (Math.abs(minutes) <= 2) return;
  const by = `${formatDuration(Math.abs(minutes) * minute)} ${minutes > 0 ? "ahead of" : "behind"}`;
  io.err(
    `WARNING: the clock of this machine is about ${by} the cluster's; set it right, or logins will fail`,
  );
}

/** The proxy that the flags name, else the profile's. */
function proxyOf({ flags }: TshContext, profile: Profile | undefined): ProxyAddress {
  if (flags.proxy !== undefined) return parseProxy(flags.proxy);
  if (!profile) {
    throw new Fault("bad_parameter", "no proxy is known; name one: tsh login --proxy=HOST");
  }
  const { host, webPort } = parseProxy(profile.webProxyAddr);
  return { host, webPort, sshPort: Number(/:(\d+)$/.exec(profile.sshProxyAddr)?.[1] ?? 0) || undefined };
}

/** Whether the proxy knows a cluster: what `tsh login CLUSTER` asks without logging in again. */
export async function isClusterOf(context: TshContext, profile: Profile, name: string): Promise<boolean> {
  if (name === profile.rootCluster) return true;
  const web = await webOptions(context, proxyOf(context, profile));
  return (await loginApi()).clusterKnown(web, name, context.signal);
}

async function webOptions(
  { flags, io }: TshContext,
  { host, webPort }: ProxyAddress,
): Promise<WebClientOptions> {
  return {
    host,
    port: webPort ?? 3080,
    insecure: flags.insecure ?? false,
    extraAuthorities: isLoopback(host) ? await ownCertificate(io) : [],
  };
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);

/** The self-signed certificate of a proxy on this very host, if it lets us read it (TSH-58). */
async function ownCertificate({ env, machine }: TshContext["io"]): Promise<string[]> {
  const { defaultPlaces } = await import("#config");
  // That of a proxy that root runs is in the other place, if root lets us read it.
  const folders = [machine.uid, 0].map((uid) => defaultPlaces({ uid, home: machine.home, env }).dataDir);
  const texts = await Promise.all(
    [...new Set(folders)].map((folder) =>
      readFile(join(folder, "webproxy_cert.pem"), "utf8").catch(() => ""),
    ),
  );
  return texts.filter((text) => text !== "");
}

async function checkVersion({ flags }: TshContext, needed: string): Promise<void> {
  const own = productVersion();
  if (flags.skipVersionCheck || !isOlder(own, needed)) return;
  throw new Fault(
    "protocol",
    `this tsh is ${own}, the proxy needs at least ${printable(needed)}: upgrade tsh, or go on at your own risk with --skip-version-check`,
  );
}

/** `--ttl`, which is in minutes (TSH-04). */
function ttlOf({ flags }: TshContext): number | undefined {
  if (flags.ttl === undefined) return undefined;
  const minutes = /^\d{1,7}$/.test(flags.ttl) ? Number(flags.ttl) : 0;
  if (minutes === 0) {
    throw new Fault("bad_parameter", `--ttl: ${JSON.stringify(flags.ttl)} is not a number of minutes`);
  }
  return minutes * 60_000;
}

/** Some agents cannot hold certificates, and some are dead: neither keeps anybody from logging in (TSH-57). */
async function fillAgent({ io }: TshContext, credentials: Credentials): Promise<void> {
  const path = io.env.SSH_AUTH_SOCK;
  if (!path) return;
  try {
    await withAgent(path, (agent) => loadAgent(agent, credentials));
  } catch (err) {
    io.err(
      `WARNING: the SSH agent did not take the certificate (${printable((err as Error).message)}); tsh works without it`,
    );
  }
}

const agentPatience = 10_000; // milliseconds

/** Works with the agent on a socket path, for ten seconds at most. */
export async function withAgent(
  path: string,
  work: (agent: Awaited<ReturnType<typeof openAgent>>) => Promise<unknown>,
): Promise<void> {
  const late = new AbortController();
  const done = new AbortController();
  systemClock.sleep(agentPatience, done.signal).then(
    () => late.abort(),
    () => {}, // in time
  );
  try {
    using agent = await openAgent(path, late.signal);
    await work(agent);
  } finally {
    done.abort();
  }
}
