import { anyProxy } from "#contract/names";
import { Fault } from "#core/errors";
import { parseAddress } from "#net";
import { checkLogin, defaultPorts, isHost } from "./address.ts";
import { isClusterName } from "./keystore.ts";

export interface SshConfigParts {
  /** The proxy's SSH address, `host:port`. */
  readonly sshProxyAddr: string;
  readonly rootCluster: string;
  /** Whose hosts are to be reached: `rootCluster`, or one behind it. */
  readonly cluster: string;
  /** A login that the certificate names; the proxy asks for one. */
  readonly proxyLogin: string;
  /** The login on the hosts; without one it is that of whoever runs ssh. */
  readonly login?: string;
  /** Where the hosts' SSH servers listen. */
  readonly port: number;
  /** Absolute paths: the private key, beside which `-cert.pub` lies, whom to trust, and an agent's socket. */
  readonly keyPath: string;
  readonly knownHosts: string;
  readonly agent?: string;
}

/**
 * The part of an `ssh_config` by which stock OpenSSH reaches the hosts of a cluster as `name.cluster`. Nothing a shell would
 * read is made of a host's name, and a name or path that could be more than that is refused. Throws `bad_parameter`.
 */
export function sshConfig(parts: SshConfigParts): string {
  const { rootCluster, cluster, port, agent, login } = parts;
  const proxy = parseAddress(parts.sshProxyAddr, defaultPorts.ssh);
  if (!isHost(proxy.host)) throw unusable("the proxy's address", proxy.host);
  for (const name of [rootCluster, cluster]) {
    if (!isClusterName(name)) throw unusable("the cluster's name", name);
  }
  // Without a dot no pattern `*.cluster` fits it, whatever the clusters' names.
  const alias = `teleport-proxy-${rootCluster.replaceAll(".", "-")}`;
  const common = [
    `UserKnownHostsFile ${quoted(parts.knownHosts)}`,
    "StrictHostKeyChecking yes",
    `IdentityFile ${quoted(parts.keyPath)}`,
    `CertificateFile ${quoted(`${parts.keyPath}-cert.pub`)}`,
    "IdentitiesOnly yes",
    ...(agent === undefined ? [] : [`IdentityAgent ${quoted(agent)}`]),
  ];
  const block = (host: string, lines: readonly string[]): string =>
    [`Host ${host}`, ...lines.map((line) => `    ${line}`), ""].join("\n");
  return [
    block(alias, [
      `HostName ${proxy.host}`,
      `Port ${proxy.port}`,
      `User ${word(parts.proxyLogin)}`,
      // Its address may be a balancer's, of which its certificate knows nothing.
      `HostKeyAlias ${anyProxy}`,
      ...common,
    ]),
    block(`*.${cluster}`, [
      `Port ${port}`,
      ...(login === undefined ? [] : [`User ${word(login)}`]),
      // The proxy sees by a host's name in which cluster it is.
      `ProxyJump ${alias}`,
      ...common,
    ]),
  ].join("\n");
}

/** A login as `User` takes it: unquoted, and without what newer versions expand. */
function word(login: string): string {
  if (!/^[\w.@+-]+$/.test(checkLogin(login))) throw unusable("the login", login);
  return login;
}

/** OpenSSH reads `%` and `${` in paths, the latter with no way to mean it; a quote or a line's end would end the path. */
function quoted(path: string): string {
  if (!path.startsWith("/") || /[\p{Cc}"\\]|\$\{/u.test(path)) throw unusable("the path", path);
  return `"${path.replaceAll("%", "%%")}"`;
}

const unusable = (what: string, text: string): Fault =>
  new Fault("bad_parameter", `${what} ${JSON.stringify(text)} cannot be written into an ssh_config`);
