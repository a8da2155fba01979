import { Fault } from "#core/errors";
import { ResourceName, type TrustedCluster, validateTrustedCluster } from "#model";
import { sameName } from "./authorities.ts";
import { checkAddress } from "./exchange.ts";

/** A link that the configuration file asks for (CFG-64). */
export interface FileLink {
  readonly name: string;
  readonly enabled: boolean;
  readonly tunnel_addr?: string | undefined;
  readonly web_proxy_addr: string;
  readonly role_map?: TrustedCluster["spec"]["role_map"];
  readonly roles?: string[] | undefined;
}

/** As the API is given it, without its token. */
export function resourceOf({ name, ...spec }: FileLink): TrustedCluster {
  const { enabled, tunnel_addr, web_proxy_addr, role_map, roles } = spec;
  return {
    kind: "trusted_cluster",
    version: "v2",
    metadata: { name },
    spec: {
      enabled,
      web_proxy_addr,
      ...(tunnel_addr !== undefined && { tunnel_addr }),
      ...(role_map && { role_map }),
      ...(roles && { roles }),
    },
  };
}

/**
 * Throws `bad_parameter` for an entry that could never be a link, whatever the other cluster says; `before`: the entries above it. The
 * own name is unknown before the first start of a cluster that is given none.
 */
export function checkFileLink(link: FileLink, before: readonly FileLink[], ownName?: string): void {
  const wrong = (what: string): Fault => new Fault("bad_parameter", what);
  const { name, web_proxy_addr, tunnel_addr } = link;
  if (!ResourceName.safeParse(name).success)
    throw wrong(`name: ${JSON.stringify(name)} cannot be a cluster's name`);
  if (ownName !== undefined && isSame(name, ownName)) throw wrong(`name: ${sameName}`);
  if (before.some((one) => isSame(one.name, name)))
    throw wrong(`name: ${JSON.stringify(name)} is there twice; a cluster has one entry`);
  const address = checkAddress("web_proxy_addr", web_proxy_addr);
  if (tunnel_addr !== undefined) checkAddress("tunnel_addr", tunnel_addr);
  if (before.some((one) => addressOf(one.web_proxy_addr) === address))
    throw wrong(`web_proxy_addr: ${JSON.stringify(web_proxy_addr)} is there twice; a cluster has one entry`);
  validateTrustedCluster(resourceOf(link));
}

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** In the one form that addresses are compared in; undefined for what is none. */
export function addressOf(text: string): string | undefined {
  try {
    return checkAddress("", text).toLowerCase();
  } catch (err) {
    if (Fault.is(err, "bad_parameter")) return undefined;
    throw err;
  }
}
