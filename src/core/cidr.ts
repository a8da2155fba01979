/** Addresses that begin with the same bits. IPv4 mapped into IPv6 counts as the IPv4 that it is. */
export interface AddressRange {
  /** 4 or 16 bytes. */
  readonly network: Uint8Array;
  readonly bits: number;
}

/**
 * Whether `address` is in one of the comma-separated addresses and `address/bits` ranges of `list`, as the critical
 * option `source-address` has them. Undefined when the list is empty or any entry of it is malformed.
 */
export function inAddressList(list: string, address: string): boolean | undefined {
  const ranges = list.split(",").map(parseRange);
  if (!ranges.every((range) => range !== undefined)) return undefined;
  const at = parseIp(address);
  return at !== undefined && ranges.some((range) => contains(range, at));
}

/** Reads an address or `address/bits`; undefined for what is neither. */
export function parseRange(entry: string): AddressRange | undefined {
  const [, host = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
  const network = parseAddress(host);
  if (!network) return undefined;
  // `::ffff:10.0.0.0/104` counts its bits from the start of the IPv6 address.
  const mapped = host.includes(":") && network.length === 4 ? 96 : 0;
  const width = bits === undefined ? network.length * 8 : Number(bits) - mapped;
  return width >= 0 && width <= network.length * 8 ? { network, bits: width } : undefined;
}

/** The bytes of an IP address, without its interface; undefined for what is none. */
export const parseIp = (address: string): Uint8Array | undefined => parseAddress(address.replace(/%.*$/, ""));

export function contains({ network, bits }: AddressRange, address: Uint8Array): boolean {
  if (network.length !== address.length) return false;
  return network.every((byte, i) => {
    const mask = (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff;
    return (((address[i] as number) ^ byte) & mask) === 0;
  });
}

/** What two ranges have in common: the smaller one when the larger holds it, else nothing. */
export function overlap(a: AddressRange, b: AddressRange): AddressRange | undefined {
  const [large, small] = a.bits <= b.bits ? [a, b] : [b, a];
  return contains(large, small.network) ? small : undefined;
}

/** As `parseRange` reads it: always with its bits, and none set behind them. */
export function formatRange({ network, bits }: AddressRange): string {
  const bytes = Array.from(network, (byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))));
  if (bytes.length === 4) return `${bytes.join(".")}/${bits}`;
  const groups = bytes.flatMap((byte, i) => (i % 2 === 0 ? [(byte << 8) | (bytes[i + 1] as number)] : []));
  const text = groups.map((group) => group.toString(16)).join(":");
  return `${URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1) ?? text}/${bits}`;
}

/** 4 or 16 bytes; an IPv4 address mapped into IPv6 counts as the IPv4 address that it is. */
function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  const fine =
    parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return fine ? Uint8Array.from(parts, Number) : undefined;
}

/** The URL parser knows every spelling of an IPv6 address and gives back the canonical one, in hexadecimal groups. */
function parseIpv6(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(text)) return undefined;
  const canonical = URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1);
  if (canonical === undefined) return undefined;
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [before = "", after] = canonical.split("::");
  const head = groups(before);
  const tail = groups(after ?? "");
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  const bytes = Uint8Array.fromHex(all.map((group) => group.padStart(4, "0")).join(""));
  const isMapped = bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.slice(12) : bytes;
}
