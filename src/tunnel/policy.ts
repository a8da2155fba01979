import { BlockList, isIP } from "node:net";
import { Fault } from "#core/errors";
import { type Address, formatAddress } from "#net";

/** One entry of `proxy_service.openssh_targets`: a host name, an address range or any host, on one port or any. */
interface Entry {
  readonly allows:
    | { readonly any: true }
    | { readonly name: string }
    | { readonly range: BlockList; readonly literal?: string };
  /** 0 is any. */
  readonly port: number;
}

/** Which hosts that are not registered nodes a proxy may dial (CFG-93). */
export interface DialPolicy {
  /**
   * Of the addresses that `host` resolved to, those that may be dialled on `port`. `access_denied` when there is none:
   * with what the operator would have to allow.
   */
  permitted(host: string, addresses: readonly string[], port: number): readonly string[];
}

/** Reads entries `host:port`, `10.0.0.0/8:22`, `*:22`, `[fd00::/8]:*`. `own` are the cluster's own listeners. */
export function dialPolicy(entries: readonly string[], own: () => readonly Address[]): DialPolicy {
  const rules = entries.map(parseEntry);
  return {
    permitted(host, addresses, port) {
      const allowed = addresses.filter((address) =>
        rules.some((rule) => {
          if (rule.port !== 0 && rule.port !== port) return false;
          // The machine itself and the cluster's own doors open only to an entry that names the very address.
          if (isSpecial(address) || own().some((o) => o.port === port && o.host === address)) {
            return "literal" in rule.allows && rule.allows.literal === address;
          }
          if ("any" in rule.allows) return true;
          if ("name" in rule.allows) return rule.allows.name === host.toLowerCase();
          return rule.allows.range.check(address, family(address));
        }),
      );
      if (allowed.length > 0) return allowed;
      throw new Fault(
        "access_denied",
        `${formatAddress({ host, port })} is not a node of this cluster, and proxy_service.openssh_targets does not allow to dial it`,
        { details: { host, port } },
      );
    },
  };
}

function parseEntry(text: string): Entry {
  const wrong = (): Fault =>
    new Fault(
      "bad_parameter",
      `proxy_service.openssh_targets: ${JSON.stringify(text)} is not host:port, CIDR:port or *:port (the port may be *)`,
    );
  const match = /^(?:\[([^\]]+)\]|([^\s]+)):(\*|\d{1,5})$/.exec(text);
  if (!match) throw wrong();
  const host = (match[1] ?? match[2]) as string;
  const port = match[3] === "*" ? 0 : Number(match[3]);
  if (port > 65_535 || (port === 0 && match[3] !== "*")) throw wrong();
  if (host === "*") return { allows: { any: true }, port };
  const [address = "", bits] = host.split("/");
  if (isIP(address) === 0) {
    if (bits !== undefined || !/^[A-Za-z0-9_.-]+$/.test(host)) throw wrong();
    return { allows: { name: host.toLowerCase() }, port };
  }
  const range = new BlockList();
  if (bits === undefined) {
    range.addAddress(address, family(address));
    return { allows: { range, literal: address }, port };
  }
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > (isIP(address) === 4 ? 32 : 128)) throw wrong();
  range.addSubnet(address, Number(bits), family(address));
  return { allows: { range }, port };
}

const family = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4");

const special = new BlockList();
for (const [net, bits] of [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["224.0.0.0", 4],
  ["255.255.255.255", 32],
] as const) {
  special.addSubnet(net, bits, "ipv4");
}
for (const [net, bits] of [
  ["::", 128],
  ["::1", 128],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  special.addSubnet(net, bits, "ipv6");
}

/** Loopback, link-local, unspecified and multicast, also when an IPv4 one is dressed as IPv6. */
function isSpecial(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return special.check(mapped, "ipv4");
  // BlockList reads the other spellings of mapped addresses (::ffff:7f00:1) as IPv4 by itself.
  return special.check(address, family(address));
}
