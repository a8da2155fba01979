import { isIPv6 } from "node:net";
import { Fault } from "#core/errors";

export interface Address {
  /** Name or IP, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`, `[v6]:port`, `host` (then `defaultPort`), each also with `tcp://`. Throws `bad_parameter`. */
export function parseAddress(text: string, defaultPort: number): Address {
  const match = /^(?:tcp:\/\/)?(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? (isV6(text) ? text : undefined);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || (match?.[1] !== undefined && !isV6(host)) || port > 65_535) {
    throw new Fault("bad_parameter", `${JSON.stringify(text)} is not an address; write it as host:port`);
  }
  return { host, port };
}

/** `host:port`, with brackets round an IPv6 host. */
export const formatAddress = ({ host, port }: Address): string =>
  isV6(host) ? `[${host}]:${port}` : `${host}:${port}`;

/** Node's pattern for IPv6 takes 8 ms to make: not for what cannot be any. */
const isV6 = (text: string): boolean => text.includes(":") && isIPv6(text);
