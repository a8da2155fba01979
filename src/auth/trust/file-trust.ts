import { isDeepStrictEqual } from "node:util";
import { Fault } from "#core/errors";
import type { AuthorityType, Caller, CertAuthority, TrustedCluster } from "#model";
import { formatPublicKeyLine, type PublicKey, parseKnownHosts, parsePublicKeyLine } from "#ssh/keys";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";
import { authority, foreignAuthorities, refuseOtherKeys, sameName } from "./authorities.ts";
import { checkAddress } from "./exchange.ts";
import type { Telling } from "./insist.ts";
import { offline } from "./remote-clusters.ts";

/** Authorities and tunnels as older files name them (CFG-61). */
export interface FileTrust {
  readonly authorities: readonly {
    readonly type: AuthorityType;
    readonly domain_name: string;
    /** Texts of one key or several, a line each, as in authorized_keys, known_hosts or a .pub file. */
    readonly keys: readonly string[];
    /** It has private keys beside them. */
    readonly signs: boolean;
    /** It names logins, which roles do today. */
    readonly namesLogins: boolean;
  }[];
  readonly tunnels: readonly { readonly domain_name: string; readonly addresses: readonly string[] }[];
}

/** A link that follows from them: to a trusted cluster when there is an address, else of a remote one. */
interface Import {
  readonly name: string;
  /** With their SSH keys alone. */
  readonly authorities: readonly CertAuthority[];
  /** `host:port` of its reverse tunnels. */
  readonly address?: string;
}

/** What of it makes links, and a sentence for each part that makes none. `own`: this cluster's name; `names`: those with links of their own. */
export function readTrust(
  { authorities, tunnels }: FileTrust,
  own: string | undefined,
  names: readonly string[] = [],
): { imports: Import[]; warnings: string[] } {
  const warnings: string[] = [];
  const imports: Import[] = [];
  const usable = authorities.filter(({ type, domain_name: name, signs, namesLogins }) => {
    const about = `the ${type} authority of ${JSON.stringify(name)}`;
    if (own !== undefined && isSame(name, own))
      warnings.push(`${about} is this cluster's own, which makes it itself: it is ignored`);
    else if (signs)
      warnings.push(`${about} has its private keys here, which belong nowhere else: it is ignored`);
    else {
      if (namesLogins)
        warnings.push(
          `${about}: allowed_logins is ignored; roles decide, and only admin there is admin here`,
        );
      return true;
    }
    return false;
  });
  const clusters = new Set([...usable, ...tunnels].map(({ domain_name }) => domain_name));
  for (const name of clusters) {
    try {
      const one = readCluster(
        name,
        usable.filter(({ domain_name }) => domain_name === name),
        tunnels.filter(({ domain_name }) => domain_name === name),
        (text) => warnings.push(text),
      );
      if (own !== undefined && isSame(name, own)) throw new Fault("bad_parameter", sameName);
      if (names.some((other) => isSame(other, name)))
        throw new Fault("bad_parameter", "it is among trusted_clusters too, which counts");
      if (one) imports.push(one);
    } catch (err) {
      if (!(err instanceof Fault)) throw err;
      warnings.push(`the cluster ${JSON.stringify(name)} is passed over: ${err.message}`);
    }
  }
  return { imports, warnings };
}

function readCluster(
  name: string,
  given: FileTrust["authorities"],
  tunnels: FileTrust["tunnels"],
  warn: (text: string) => void,
): Import | undefined {
  const of = (type: AuthorityType): CertAuthority | undefined => {
    const texts = given.filter((one) => one.type === type);
    return texts.length === 0
      ? undefined
      : authorityOf(
          type,
          name,
          texts.flatMap(({ keys }) => keys),
        );
  };
  const [host, user] = [of("host"), of("user")];
  const [address, ...others] = tunnels.flatMap(({ addresses }) => addresses);
  const about = `the cluster ${JSON.stringify(name)}`;
  if (tunnels.length === 0) {
    if (user)
      warn(
        `${about} has no entry in reverse_tunnels: its user authority is ignored, its people are not let in`,
      );
    return host && { name, authorities: [host] };
  }
  if (!host || !user)
    throw new Fault("bad_parameter", "a tunnel wants the host and the user authority of where it leads");
  if (address === undefined) throw new Fault("bad_parameter", "its entry in reverse_tunnels has no address");
  checkAddress("reverse_tunnels", address);
  if (others.length > 0) warn(`${about}: of its tunnels' addresses only the first, ${address}, is used`);
  return { name, authorities: [host, user], address };
}

function authorityOf(type: AuthorityType, name: string, texts: readonly string[]): CertAuthority {
  const lines = texts.flatMap((text) => text.split("\n")).filter((line) => !/^\s*(#|$)/.test(line));
  const keys = lines.map((line) => formatPublicKeyLine({ key: keyOf(type, line) }));
  if (keys.length === 0) throw new Fault("bad_parameter", `the ${type} authority has no public key`);
  return authority(type, name, [...new Set(keys)], []);
}

/** Of a line as `tctl auth export` prints it, or of any .pub file. Throws a `Fault` for others, which does not quote them. */
function keyOf(type: AuthorityType, line: string): PublicKey {
  try {
    const [known] = /^\s*@cert-authority\s/.test(line) ? parseKnownHosts(line) : [];
    return known?.key ?? parsePublicKeyLine(line).key;
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    throw new Fault("bad_parameter", `the ${type} authority: ${cause.message}`, { cause });
  }
}

/** Keeps what the file names and is not there. A link that was made by an exchange stays what it is. */
export async function importTrust(
  parts: Parts,
  given: FileTrust,
  { names, caller, telling }: { names: readonly string[]; caller: Caller; telling: Telling },
): Promise<void> {
  const { imports, warnings } = readTrust(given, parts.clusterName, names);
  for (const text of warnings) telling.warn(text);
  for (const one of imports) {
    try {
      await (one.address === undefined
        ? keepRemote(parts, one)
        : keepTrusted(parts, one, one.address, caller));
    } catch (err) {
      if (!Fault.is(err, "bad_parameter") && !Fault.is(err, "already_exists")) throw err;
      const { message: error } = err;
      telling.warn(`the cluster ${JSON.stringify(one.name)} is passed over: ${error}`);
      if (!telling.isNews(`${one.name}: ${error}`)) continue;
      const failed = { name: one.name, success: false, error } as const;
      await record(
        parts,
        one.address === undefined
          ? { code: "T4193W", ...failed }
          : { code: "T4190W", user: caller.name, addr: one.address, ...failed },
      );
    }
  }
}

/** What became of the record. One that an exchange made is left alone, and so are keys that the cluster told itself since (ROT-10). */
type Outcome = "made" | "changed" | "as it was";

async function keepRemote(parts: Parts, { name, authorities: given }: Import): Promise<void> {
  const { remoteClusters } = parts.store;
  const authorities = await checked(parts, given, ["host"], await remoteClusters.find(name));
  if (!authorities) return;
  let outcome: Outcome = "as it was";
  await remoteClusters.update(name, (now) => {
    outcome = now ? "as it was" : "made";
    if (!now) return { resource: offline(name), authorities, tunnels: {}, told: 0, fromFile: true };
    if (!now.fromFile || now.told > 0 || isDeepStrictEqual(now.authorities, authorities)) return undefined;
    outcome = "changed";
    return { ...now, authorities };
  });
  // The compiler does not see that the callback has run.
  const what = outcome as Outcome;
  if (what !== "as it was")
    await record(parts, { code: what === "made" ? "T4193I" : "T4195I", name, success: true });
}

async function keepTrusted(
  parts: Parts,
  { name, authorities: given }: Import,
  addr: string,
  { name: user }: Caller,
): Promise<void> {
  const { trustedClusters } = parts.store;
  const authorities = await checked(parts, given, ["host", "user"], await trustedClusters.find(name));
  if (!authorities) return;
  const addresses = { web_proxy_addr: addr, tunnel_addr: addr };
  let outcome: Outcome = "as it was";
  const kept = await trustedClusters.update(name, (now) => {
    outcome = now ? "as it was" : "made";
    if (!now) return { resource: enabled(name, addresses), authorities, told: 0, fromFile: true };
    if (!now.fromFile) return undefined;
    const next = {
      ...now,
      authorities: now.told > 0 ? now.authorities : authorities,
      resource: { ...now.resource, spec: { ...now.resource.spec, ...addresses } },
    };
    if (isDeepStrictEqual(next, now)) return undefined;
    outcome = "changed";
    return next;
  });
  const what = outcome as Outcome;
  if (what === "made") await record(parts, { code: "T4190I", user, name, addr, success: true });
  if (what === "changed" && kept)
    await record(parts, { code: "T4191I", user, name, enabled: kept.resource.spec.enabled });
}

/** The authorities as they may be kept beside all others; undefined where there is a link that the file does not change. */
async function checked(
  parts: Parts,
  given: readonly CertAuthority[],
  types: readonly AuthorityType[],
  before: { readonly fromFile?: true | undefined } | undefined,
): Promise<CertAuthority[] | undefined> {
  if (before && !before.fromFile) return undefined;
  const { name, authorities } = await foreignAuthorities(parts, given, types);
  if (!before) await refuseOtherKeys(parts, { name, authorities });
  return authorities;
}

/** Without a mapping: admin there is admin here, and nobody else is anything (TC-08). */
const enabled = (
  name: string,
  addresses: { web_proxy_addr: string; tunnel_addr: string },
): TrustedCluster => ({
  kind: "trusted_cluster",
  version: "v2",
  metadata: { name },
  spec: { enabled: true, ...addresses },
});

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();
