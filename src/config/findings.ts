import type { Address } from "./address.ts";
import { formatAddress } from "./address.ts";
import type { Config } from "./configure.ts";

/** What a configuration says that cannot all be so, a sentence each; nothing here looks at the machine. */
export function contradictions(config: Config): string[] {
  const { https_key_file, https_cert_file } = config.proxy_service;
  const found = clashes(config);
  if (config.proxy_service.enabled && (https_key_file === undefined) !== (https_cert_file === undefined)) {
    const [given, other] =
      https_key_file === undefined
        ? ["https_cert_file", "https_key_file"]
        : ["https_key_file", "https_cert_file"];
    found.push(`proxy_service.${given} needs proxy_service.${other} beside it: set both or none`);
  }
  return found;
}

/** Two listeners of this process at one port. The web port and the tunnel port may be one (OVW-12). */
function clashes(config: Config): string[] {
  const all = listeners(config);
  return all.flatMap(([key, address], i) => {
    const first = all
      .slice(0, i)
      .find(([before, other]) => !mayShare(before, key) && overlap(other, address));
    return first
      ? [`${key} (${formatAddress(address)}) is where ${first[0]} listens too; give each a port of its own`]
      : [];
  });
}

function listeners({ auth_service, ssh_service, proxy_service, process }: Config): [string, Address][] {
  const { kubernetes } = proxy_service;
  const all: [boolean, string, Address | undefined][] = [
    [auth_service.enabled, "auth_service.listen_addr", auth_service.listen_addr],
    [ssh_service.enabled, "ssh_service.listen_addr", ssh_service.listen_addr],
    [proxy_service.enabled, "proxy_service.listen_addr", proxy_service.listen_addr],
    [proxy_service.enabled, "proxy_service.web_listen_addr", proxy_service.web_listen_addr],
    [proxy_service.enabled, "proxy_service.tunnel_listen_addr", proxy_service.tunnel_listen_addr],
    [
      proxy_service.enabled && kubernetes.enabled,
      "proxy_service.kubernetes.listen_addr",
      kubernetes.listen_addr,
    ],
    [true, "--diag-addr", process.diag_addr],
  ];
  return all.flatMap(([on, key, address]) => (on && address ? [[key, address]] : []));
}

const mayShare = (one: string, other: string): boolean =>
  one === "proxy_service.web_listen_addr" && other === "proxy_service.tunnel_listen_addr";

/** Port 0 is a port of its own each time. */
const overlap = (one: Address, other: Address): boolean =>
  one.port === other.port &&
  one.port !== 0 &&
  (one.host === other.host || isEverywhere(one.host) || isEverywhere(other.host));

const isEverywhere = (host: string): boolean => host === "0.0.0.0" || host === "::";
