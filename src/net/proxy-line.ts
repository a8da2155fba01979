import { isIP } from "node:net";
import { Fault } from "#core/errors";
import type { Address } from "./address.ts";
import { inRanges } from "./source.ts";

/** The longest line that version 1 of HAProxy's PROXY protocol has, CR LF counted. */
const maxProxyLine = 107;
const word = "PROXY ";

/**
 * Loopback and private addresses: where load balancers stand, who may say of whom they bring a connection, and may speak
 * clear HTTP where that was asked for. Nobody on the internet is believed.
 */
export function isNearby(address: string): boolean {
  // Not before it is asked: the ranges take 11 ms to make, and every command loads this file.
  inNearby ??= inRanges([
    ...["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
    ...["169.254.0.0/16", "fc00::/7", "fe80::/10"],
  ]);
  return inNearby(address);
}
let inNearby: ReturnType<typeof inRanges> | undefined;

/** Whether bytes begin a PROXY line, or may still turn out to. */
export const beginsProxyLine = (bytes: Buffer): boolean => {
  const known = bytes.toString("latin1", 0, word.length);
  return known.length > 0 && word.startsWith(known);
};

/**
 * Reads a PROXY line at the beginning of `bytes`, which `beginsProxyLine` says is one: the client's address, undefined for
 * `UNKNOWN`, and what is behind it; undefined while the line is not whole. Throws `protocol`.
 */
export function readProxyLine(
  bytes: Buffer,
): { readonly client: Address | undefined; readonly rest: Buffer } | undefined {
  const end = bytes.indexOf("\r\n");
  if (end < 0 && bytes.length < maxProxyLine) return undefined;
  const line = end < 0 || end > maxProxyLine - 2 ? "" : bytes.toString("latin1", 0, end);
  const rest = bytes.subarray(end + 2);
  if (/^PROXY UNKNOWN( |$)/.test(line)) return { client: undefined, rest };
  const [, family, from = "", to = "", port] =
    /^PROXY TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (\d{1,5}) \d{1,5}$/.exec(line) ?? [];
  if (
    family === undefined ||
    isIP(from) !== Number(family) ||
    isIP(to) !== Number(family) ||
    Number(port) > 65_535
  )
    throw new Fault("protocol", "the line of the PROXY protocol cannot be read");
  return { client: { host: from, port: Number(port) }, rest };
}
