import { isIP } from "node:net";
import { Fault } from "#core/errors";

export interface Address {
  /** Name or IP, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`, `[v6]:port`, `host` (then `defaultPort`), each also with `tcp://`. Throws `bad_parameter`. */
export function parseAddress(text: string, defaultPort: number): Address {
  const match = /^(?:tcp:\/\/)?(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? (isIP(text) === 6 ? text : undefined);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || (match?.[1] !== undefined && isIP(host) !== 6) || port > 65_535) {
    throw new Fault("bad_parameter", `${JSON.stringify(text)} is not an address; write it as host:port`);
  }
  return { host, port };
}

/** `host:port`, with brackets round an IPv6 host. */
export const formatAddress = ({ host, port }: Address): string =>
  isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
