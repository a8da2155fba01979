import { Fault } from "#core/errors";

/** Host (name, IPv4 or IPv6 without brackets) and TCP port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `host`, `host:port`, `tcp://host:port`, `[v6]:port` or a bare IPv6 address (CFG-07).
 * Without a port it gets `defaultPort`; without that, a port is needed. Throws `bad_parameter`.
 */
export function parseAddress(text: string, defaultPort?: number): Address {
  const bare = text.trim().replace(/^tcp:\/\//, "");
  const match =
    /^\[([0-9a-fA-F:.%]+)\](?::(\d{1,5}))?$/.exec(bare) ??
    /^([0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.%]*)$/.exec(bare) ??
    /^([\p{L}\p{N}_.*-]+)(?::(\d{1,5}))?$/u.exec(bare);
  const port = match?.[2] === undefined ? defaultPort : Number(match[2]);
  if (!match?.[1] || port === undefined || port > 65_535) {
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(text)} is not an address; write host${defaultPort === undefined ? "" : " or host"}:port`,
    );
  }
  return { host: match[1], port };
}

/** Like `parseAddress`, where `:port` stands for every address of the machine. */
export const parseListenAddress = (text: string, defaultPort?: number): Address =>
  parseAddress(text.replace(/^(tcp:\/\/)?:(?=\d+$)/, "0.0.0.0:"), defaultPort);

/** `host:port`, with brackets where IPv6 needs them. */
export const formatAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
