import { isIP } from "node:net";
import { contains, parseIp, parseRange } from "#core/cidr";
import type { Address } from "./address.ts";

/**
 * Which targets a `NO_PROXY` list names: entries between commas or blanks, each a host with all below it (`example.com`,
 * `.example.com`, `*.example.com`), an address, a range `address/bits`, any but the range with `:port`, or `*`. Names are
 * compared as they are written and not looked up; an entry that is none of these names nothing.
 */
export function noProxy(list: string): (target: Address) => boolean {
  const rules = list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .map(ruleOf);
  return ({ host, port }) => {
    const name = canonical(host);
    return rules.some((names) => names(name, port));
  };
}

type Rule = (host: string, port: number) => boolean;

function ruleOf(entry: string): Rule {
  const range = parseRange(entry);
  if (range) {
    return (host) => {
      const ip = parseIp(host);
      return ip !== undefined && contains(range, ip);
    };
  }
  const [, bracketed, name, wanted] = /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const host = bracketed === undefined ? hostRule(name) : ruleOf(bracketed);
  return (at, port) => (wanted === undefined || Number(wanted) === port) && host(at, port);
}

function hostRule(name: string | undefined): Rule {
  if (name === "*") return () => true;
  const base = canonical(name?.replace(/^\*?\./, "") ?? "");
  if (base === "") return () => false;
  if (isIP(base) !== 0) return ruleOf(base);
  return (host) => host === base || host.endsWith(`.${base}`);
}

/** Whether a host is this machine by its name or address, as it is written: it is not looked up. */
export function isOwnHost(host: string): boolean {
  const name = canonical(host);
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  const ip = parseIp(name);
  return ip !== undefined && own.some((range) => contains(range, ip));
}

/** Who connects to "everywhere" comes to itself too. */
const own = ["127.0.0.0/8", "::1", "0.0.0.0", "::"].map(parseRange).filter((range) => range !== undefined);

/** The resolver also takes `127.1` and `0x7f000001` for addresses; so does the URL parser, and says which. */
function canonical(host: string): string {
  const bare = host.toLowerCase().replace(/\.$/, "");
  if (isIP(bare) !== 0 || !/^[\w.-]+$/.test(bare)) return bare;
  return URL.parse(`http://${bare}/`)?.hostname ?? bare;
}
