import { BlockList, isIP, isIPv6 } from "node:net";
import { Fault } from "#core/errors";

/** How many leading bits of an address make one source: who has one address of the block has them all. */
export interface Netblock {
  readonly ipv4: number;
  readonly ipv6: number;
}

/** One IPv4 address; of IPv6 a /64, since one subscriber owns a whole one. */
export const defaultNetblock: Netblock = { ipv4: 32, ipv6: 64 };

/** An IPv4 peer of a dual-stack listener comes dressed as IPv6, a link-local one with its interface. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");

/** The source that `address` counts for, as `network/bits`; what is no IP address counts for itself. */
export function sourceOf(address: string, block: Netblock = defaultNetblock): string {
  const host = plain(address);
  switch (isIP(host)) {
    case 4:
      return masked(host.split(".").map(Number), 8, block.ipv4).join(".").concat(`/${block.ipv4}`);
    case 6: {
      const groups = masked(groupsOf(host), 16, block.ipv6).map((group) => group.toString(16));
      return `${groups.join(":")}/${block.ipv6}`;
    }
    default:
      return host;
  }
}

function masked(parts: readonly number[], width: number, bits: number): number[] {
  return parts.map((part, i) => {
    const kept = Math.min(width, Math.max(0, bits - i * width));
    return part & ~((1 << (width - kept)) - 1);
  });
}

function groupsOf(address: string): number[] {
  // The URL parser knows every spelling and gives back the canonical one, in hexadecimal groups.
  const canonical = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? "::";
  const read = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [before = "", after = ""] = canonical.split("::");
  const [head, tail] = [read(before), read(after)];
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** Whether an address is in one of `ranges`: addresses and `address/bits`. Throws `bad_parameter` for what is neither. */
export function inRanges(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [host = "", bits, more] = range.split("/");
    const family = isIPv6(host) ? "ipv6" : "ipv4";
    const width = family === "ipv6" ? 128 : 32;
    const length = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
    if (isIP(host) === 0 || !(length <= width) || more !== undefined)
      throw new Fault(
        "bad_parameter",
        `${JSON.stringify(range)} is no address and no range; write 10.0.0.0/8`,
      );
    list.addSubnet(host, length, family);
  }
  return (address) => {
    const host = plain(address);
    const kind = isIP(host);
    return kind !== 0 && list.check(host, kind === 6 ? "ipv6" : "ipv4");
  };
}
