import { resolve } from "node:path";
import { proxyHost, signerOf, sshConfig } from "#client";
import { Fault } from "#core/errors";
import { shellWord } from "../shell.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { agentSocket, openHome } from "./home.ts";
import { needLogin } from "./log-in.ts";
import { loginFor } from "./reach.ts";

/** `tsh config`: what OpenSSH has to know of the cluster. */
export async function config(context: TshContext & FlagsOf<"config">): Promise<number> {
  const { io, flags } = context;
  // OpenSSH knows the home of the passwd entry only, and no current folder: paths are written out.
  const folder = resolve(io.machine.home, ".tsh");
  const home = openHome({ machine: { ...io.machine, home: resolve(io.machine.home) } });
  const { profile, credentials } = await needLogin(context, home);
  const logins = signerOf(credentials).publicKey.certificate?.principals ?? [];
  const cluster = flags.cluster ?? profile.cluster;
  const { rootCluster } = profile;
  if (![rootCluster, ...credentials.hostAuthorities.map((one) => one.cluster)].includes(cluster)) {
    throw new Fault(
      "not_found",
      `your login tells nothing of a cluster ${JSON.stringify(cluster)}; \`tsh clusters\` lists those behind the proxy`,
    );
  }
  const login = loginFor(flags.login, { profile, credentials }, io.machine);
  const proxy = proxyHost(profile);
  const text = sshConfig({
    sshProxyAddr: profile.sshProxyAddr,
    rootCluster,
    cluster,
    proxyLogin: logins.includes(login) ? login : (logins[0] ?? login),
    // One's own name is what OpenSSH takes anyway, and a line here would win over those further down.
    ...(login !== io.machine.user && { login }),
    port: flags.port ?? 3022,
    keyPath: home.keystore.keyPath(proxy, credentials.user),
    knownHosts: await home.keystore.writeKnownHosts(proxy, rootCluster, credentials.hostAuthorities),
    ...(flags.agent && { agent: agentSocket(io) }),
  });
  const file = `${folder}/ssh_config`;
  io.out(`# How OpenSSH reaches the hosts of ${cluster}: ssh NAME.${cluster}`);
  io.out(`# To keep it: tsh config > ${shellWord(file)}`);
  io.out(`# and as the first line of ~/.ssh/config: Include "${file}"\n`);
  io.out(text.trimEnd());
  return 0;
}
