import { type AddressRange, contains, parseIp, parseRange } from "#core/cidr";
import { Fault } from "#core/errors";

/**
 * What somebody wants forwarded. `connect`: from the node to one address, which `host` was resolved to. `listen`: a port of
 * the node that leads back to the client; no addresses are all of the machine, port 0 is one that is free.
 */
export type Destination =
  | { readonly kind: "connect"; readonly host: string; readonly address: string; readonly port: number }
  | {
      readonly kind: "listen";
      readonly host: string;
      readonly addresses: readonly string[];
      readonly port: number;
    }
  | { readonly kind: "connect" | "listen"; readonly path: string };

/** The addresses of a host that roles name, where the decision is made; undefined when that cannot be told now. */
export type AddressesOf = (name: string) => readonly string[] | undefined;

type Host = { readonly any: true } | { readonly range: AddressRange } | { readonly name: string };

/** One entry of `forward_to`. Port 0 and path undefined are any. */
export type DestinationEntry = { readonly text: string; readonly kind: "connect" | "listen" } & (
  | { readonly host: Host; readonly port: number }
  | { readonly path: string | undefined }
);

const longest = 300;
/** Entries of one list. */
export const mostDestinations = 256;
const anyPath = "/*";

/**
 * Reads `host:port`, `10.0.0.0/8:*`, `[fd00::/8]:443`, `*:22`, `/run/app.sock`, `/*`, each also with `listen:` before it.
 * Throws `bad_parameter`.
 */
export function parseDestination(text: string): DestinationEntry {
  const wrong = (why: string): Fault =>
    new Fault("bad_parameter", `${JSON.stringify(text.slice(0, longest))} ${why}`);
  if (text.length > longest) throw wrong(`has more than ${longest} characters`);
  const kind = text.startsWith("listen:") ? "listen" : "connect";
  const place = kind === "listen" ? text.slice("listen:".length) : text;
  if (place.startsWith("/")) {
    if (place !== anyPath && !isPlainPath(place))
      throw wrong("is no path of a socket: write it whole, without . and .., or /* for all");
    return { text, kind, path: place === anyPath ? undefined : place };
  }
  const match = /^(?:\[([^\][]+)\]|([^:\][]+)):(\*|[1-9]\d{0,4})$/.exec(place);
  if (!match) throw wrong("is not host:port, CIDR:port, *:port or the path of a socket (the port may be *)");
  const [, bracketed, plain = "", portText] = match;
  const port = portText === "*" ? 0 : Number(portText);
  if (port > 65_535) throw wrong("has a port that there is not");
  const host = bracketed ?? plain;
  if (host === "*") return { text, kind, host: { any: true }, port };
  const range = parseRange(host);
  if (range) return { text, kind, host: { range }, port };
  // What a resolver would take for a number is none of the names that could be meant.
  if (
    bracketed !== undefined ||
    !/^[a-z0-9_][a-z0-9_.-]{0,252}$/i.test(host) ||
    /(^|\.)(\d+|0x[0-9a-f]*)\.?$/i.test(host)
  )
    throw wrong("names no host, address or range of addresses (an IPv6 address in [brackets])");
  return { text, kind, host: { name: nameOf(host) }, port };
}

/** Whether a path says where it leads by itself: nothing in it is walked back or skipped. */
export const isPlainPath = (path: string): boolean =>
  path.length > 1 &&
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  !/[\u0000-\u001f\u007f]/.test(path) &&
  path
    .slice(1)
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== "..");

/** Whether an entry of `allow` holds all that is wanted. */
export function covers(entry: DestinationEntry, wanted: Destination, addressesOf: AddressesOf): boolean {
  if (entry.kind !== wanted.kind) return false;
  if ("path" in wanted) return "path" in entry && (entry.path === undefined || entry.path === wanted.path);
  if ("path" in entry || (entry.port !== 0 && entry.port !== wanted.port)) return false;
  const { host } = entry;
  if ("any" in host) return true;
  if ("name" in host && nameOf(wanted.host) === host.name) return true;
  const all = addressesIn(wanted);
  return all.length > 0 && all.every((address) => isAt(host, address, addressesOf) === true);
}

/** Whether an entry of `deny` holds any of what is wanted, or may. */
export function touches(entry: DestinationEntry, wanted: Destination, addressesOf: AddressesOf): boolean {
  if (entry.kind !== wanted.kind) return false;
  if ("path" in wanted) return "path" in entry && (entry.path === undefined || entry.path === wanted.path);
  if ("path" in entry || (entry.port !== 0 && wanted.port !== 0 && entry.port !== wanted.port)) return false;
  const { host } = entry;
  if ("any" in host) return true;
  if ("name" in host && nameOf(wanted.host) === host.name) return true;
  const all = addressesIn(wanted);
  return all.length === 0 || all.some((address) => isAt(host, address, addressesOf) !== false);
}

/** How people read it: `10.0.0.5:5432`, with the name it was asked by; the path of a socket. */
export function describeDestination(wanted: Destination): string {
  if ("path" in wanted)
    return `${wanted.kind === "listen" ? "listening at" : "forwarding to"} ${wanted.path}`;
  const at = (host: string): string =>
    host.includes(":") ? `[${host}]:${wanted.port}` : `${host}:${wanted.port}`;
  if (wanted.kind === "listen") return `listening at ${at(wanted.host || "*")}`;
  const named = wanted.host === wanted.address ? "" : ` (${wanted.address})`;
  return `forwarding to ${at(wanted.host)}${named}`;
}

/** Empty: every address of the machine. */
function addressesIn(wanted: Exclude<Destination, { path: string }>): readonly string[] {
  if (wanted.kind === "connect") return [wanted.address];
  return wanted.addresses.some(isUnspecified) ? [] : wanted.addresses;
}

/** Whether `address` is the host's; undefined when nobody knows where the host is. */
function isAt(
  host: Exclude<Host, { any: true }>,
  address: string,
  addressesOf: AddressesOf,
): boolean | undefined {
  const bytes = reached(address);
  if (!bytes) return false;
  if ("range" in host) return contains(host.range, bytes);
  const own = addressesOf(host.name);
  return own?.some((one) => {
    const at = reached(one);
    return at !== undefined && contains({ network: at, bits: at.length * 8 }, bytes);
  });
}

/** Who connects to the unspecified address reaches this machine. */
function reached(address: string): Uint8Array | undefined {
  const bytes = parseIp(address);
  return bytes && isZero(bytes) ? parseIp(bytes.length === 4 ? "127.0.0.1" : "::1") : bytes;
}

function isUnspecified(address: string): boolean {
  const bytes = parseIp(address);
  return bytes !== undefined && isZero(bytes);
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** DNS knows no upper case, and a dot at the end only says that the name is whole. */
const nameOf = (host: string): string => host.toLowerCase().replace(/\.$/, "");
