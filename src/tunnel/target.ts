import { Fault } from "#core/errors";

/** What a client asks the proxy for (PRX-03). */
export type Target =
  | {
      readonly kind: "host";
      readonly host: string /** 0: whatever the host registered. */;
      readonly port: number;
      readonly cluster?: string;
    }
  /** The auth server of a cluster, by default the proxy's own. */
  | { readonly kind: "auth"; readonly cluster?: string };

const hostLimit = 255;

/**
 * Reads the name of a `proxy:` subsystem: `proxy:host:port`, with `@cluster` or `@namespace@cluster` behind it, or
 * `proxy:@cluster`. The port may be empty or 0. Throws `bad_parameter`.
 */
export function parseTarget(subsystem: string): Target {
  const wrong = (): Fault =>
    new Fault(
      "bad_parameter",
      `invalid format for proxy request: ${JSON.stringify(subsystem)}, expected 'proxy:host:port@cluster'`,
    );
  if (!subsystem.startsWith("proxy:")) throw wrong();
  const [where = "", ...suffixes] = subsystem.slice("proxy:".length).split("@");
  const [namespace, cluster] = suffixes.length === 2 ? suffixes : ["default", suffixes[0]];
  if (suffixes.length > 2 || namespace !== "default" || cluster === "") throw wrong();
  const inCluster = cluster === undefined ? {} : { cluster };
  if (where === "") {
    if (cluster === undefined) throw wrong();
    return { kind: "auth", ...inCluster };
  }
  const colon = where.lastIndexOf(":");
  const host = bare(colon < 0 ? where : where.slice(0, colon));
  const portText = colon < 0 ? "" : where.slice(colon + 1);
  const port = portText === "" ? 0 : Number(portText);
  if (!isHost(host) || !/^\d{0,5}$/.test(portText) || port > 65_535) throw wrong();
  return { kind: "host", host, port, ...inCluster };
}

/** Whether this can be the name or address of a host: nothing that a terminal, a log or a resolver would trip over. */
const isHost = (host: string): boolean =>
  host.length <= hostLimit &&
  /^[A-Za-z0-9_.:*-]+$/.test(host) &&
  !host.includes("*") &&
  !host.startsWith("-");

/** An IPv6 address may come in brackets. */
const bare = (host: string): string =>
  host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
