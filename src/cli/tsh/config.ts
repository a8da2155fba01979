import { resolve } from "node:path";
import { identityFile, proxyHost, signerOf, sshConfig } from "#client";
import { Fault } from "#core/errors";
import { shellWord } from "../shell.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { agentSocket, type Home, type Login, openHome } from "./home.ts";
import { needLoginTo } from "./other-cluster.ts";
import { loginFor } from "./reach.ts";

/** `tsh config`: what OpenSSH has to know of the cluster. */
export async function config(context: TshContext & FlagsOf<"config">): Promise<number> {
  const { io, flags } = context;
  // OpenSSH knows the home of the passwd entry only, and no current folder: paths are written out.
  const folder = resolve(io.machine.home, ".tsh");
  const home = openHome({ machine: { ...io.machine, home: resolve(io.machine.home) } });
  const {
    login: { profile, credentials },
    cluster,
  } = await needLoginTo(context, home);
  const logins = signerOf(credentials).publicKey.certificate?.principals ?? [];
  const { rootCluster } = profile;
  if (![rootCluster, ...credentials.hostAuthorities.map((one) => one.cluster)].includes(cluster)) {
    throw new Fault(
      "not_found",
      `your login tells nothing of a cluster ${JSON.stringify(cluster)}; \`tsh clusters\` lists those behind the proxy`,
    );
  }
  const login = loginFor(flags.login, { profile, credentials }, io.machine);
  if (flags.agent && flags.identity !== undefined)
    throw new Fault("bad_parameter", "`tsh agent` holds the logins of ~/.tsh; leave --agent or -i out");
  const files = await filesOf(flags.identity, home, { profile, credentials });
  const text = sshConfig({
    sshProxyAddr: profile.sshProxyAddr,
    rootCluster,
    cluster,
    proxyLogin: logins.includes(login) ? login : (logins[0] ?? login),
    // One's own name is what OpenSSH takes anyway, and a line here would win over those further down.
    ...(login !== io.machine.user && { login }),
    port: flags.port ?? 3022,
    ...files,
    ...(flags.agent && { agent: agentSocket(io) }),
  });
  const file = `${folder}/ssh_config`;
  io.out(`# How OpenSSH reaches the hosts of ${cluster}: ssh NAME.${cluster}`);
  if (flags.identity === undefined) {
    io.out(`# To keep it: tsh config > ${shellWord(file)}`);
    io.out(`# and as the first line of ~/.ssh/config: Include "${file}"`);
  }
  io.out("");
  io.out(text.trimEnd());
  return 0;
}

/** Where OpenSSH finds the key, and whom to trust. */
async function filesOf(
  identity: string | undefined,
  { keystore }: Home,
  { profile, credentials }: Login,
): Promise<{ keyPath: string; knownHosts: string }> {
  const { rootCluster } = profile;
  if (identity !== undefined) {
    const keyPath = resolve(identity);
    const { writeForOpenSsh } = await identityFile();
    return { keyPath, knownHosts: await writeForOpenSsh(keyPath, { credentials, cluster: rootCluster }) };
  }
  const proxy = proxyHost(profile);
  return {
    keyPath: keystore.keyPath(proxy, credentials.user),
    knownHosts: await keystore.writeKnownHosts(proxy, rootCluster, credentials.hostAuthorities),
  };
}
