import { X509Certificate } from "node:crypto";
import { Fault } from "#core/errors";
import type { AuthorityType, CertAuthority } from "#model";
import { checkAuthority } from "#pki";
import { fingerprint, formatPublicKeyLine, parsePublicKeyLine } from "#ssh/keys";
import { publicKeys } from "../authorities/restore.ts";
import type { Parts } from "../parts.ts";

/** As many as a rotation has at once, and some. */
const mostKeys = 8;
const clusterNames = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** This cluster's authorities as other clusters get them: public keys, and nothing else of them. */
export async function ownAuthorities(
  { store, clusterName }: Pick<Parts, "store" | "clusterName">,
  types: readonly AuthorityType[],
): Promise<CertAuthority[]> {
  const all = await Promise.all(types.map((type) => store.authorities.get(`${type}/${clusterName}`)));
  return all.map(({ spec }) =>
    authority(
      spec.type,
      clusterName,
      spec.checking_keys,
      spec.tls_key_pairs.map(({ cert }) => cert),
    ),
  );
}

/**
 * Another cluster's authorities, one of each of `types` and of one cluster, made anew of what could be read of them. Throws
 * `bad_parameter` for anything else: private keys, keys that are no authority's or are this cluster's, this cluster's name.
 */
export async function foreignAuthorities(
  parts: Pick<Parts, "store" | "clusterName" | "clock">,
  given: readonly CertAuthority[],
  types: readonly AuthorityType[],
): Promise<{ name: string; authorities: CertAuthority[] }> {
  const name = given[0]?.metadata.name ?? "";
  const asked = types.map((type) => given.find(({ spec }) => spec.type === type));
  if (given.length !== types.length || asked.includes(undefined))
    throw wrong(`wants one authority each of: ${types.join(", ")}`);
  if (!clusterNames.test(name)) throw wrong(`${JSON.stringify(name)} cannot be a cluster's name`);
  if (name.toLowerCase() === parts.clusterName.toLowerCase()) throw wrong(sameName);
  const authorities = given.map((ca) => foreign(parts, ca, name));
  // Which authority signed a certificate decides whose it is: no key may be of two.
  const taken = new Set((await allOthers(parts.store, name)).flatMap(publicKeys));
  for (const ca of authorities) {
    for (const key of publicKeys(ca)) {
      if (taken.has(key)) throw wrong(`the key ${key} is of another authority`);
      taken.add(key);
    }
  }
  return { name, authorities };
}

/** The authorities of this cluster and of all that are linked to it under another name. */
async function allOthers(store: Parts["store"], name: string): Promise<CertAuthority[]> {
  const links = [...(await store.trustedClusters.list()), ...(await store.remoteClusters.list())];
  const others = links.filter(({ resource }) => resource.metadata.name !== name);
  return [...(await store.authorities.list()), ...others.flatMap(({ authorities }) => authorities)];
}

/**
 * The authorities of linked clusters that count for something here (TC-04): of trusted ones while they are enabled, the user authority
 * with the mapping, and of remote ones the host authority.
 */
export async function linkedAuthorities({ store }: Pick<Parts, "store">): Promise<CertAuthority[]> {
  const [trusted, remote] = await Promise.all([store.trustedClusters.list(), store.remoteClusters.list()]);
  const found = new Map<string, CertAuthority>();
  for (const ca of remote.flatMap(({ authorities }) => authorities)) found.set(keyOf(ca), ca);
  for (const { resource, authorities } of trusted.filter(({ resource }) => resource.spec.enabled)) {
    const { role_map } = resource.spec;
    for (const ca of authorities) {
      const mapped = ca.spec.type === "user" && role_map ? { ...ca, spec: { ...ca.spec, role_map } } : ca;
      found.set(keyOf(ca), mapped);
    }
  }
  return [...found.values()];
}

const keyOf = ({ spec }: CertAuthority): string => `${spec.type}/${spec.cluster_name}`;

export const sameName = "remote cluster name can not be the same as local cluster name";

function foreign({ clock }: Pick<Parts, "clock">, ca: CertAuthority, name: string): CertAuthority {
  const { type, cluster_name, checking_keys, signing_keys = [], tls_key_pairs } = ca.spec;
  if (cluster_name !== name || ca.metadata.name !== name)
    throw wrong("the authorities are of several clusters");
  if (signing_keys.length > 0 || tls_key_pairs.some(({ key }) => key !== undefined))
    throw wrong("an authority came with its private key, which nobody may send: rotate it");
  if (checking_keys.length > mostKeys || tls_key_pairs.length > mostKeys)
    throw wrong(`an authority has ${mostKeys} keys at most`);
  try {
    const keys = checking_keys.map((line) => {
      const { key } = parsePublicKeyLine(line);
      if (key.certificate) throw wrong("an authority's key is no certificate itself");
      return formatPublicKeyLine({ key });
    });
    const certs = tls_key_pairs.map(({ cert }) => {
      checkAuthority(cert, name, clock.now());
      // Only what was read, not what else stood in the text.
      return new X509Certificate(cert).toString();
    });
    return authority(type, name, keys, certs);
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    throw wrong(`the ${type} authority of ${name}: ${cause.message}`);
  }
}

export const authority = (
  type: AuthorityType,
  name: string,
  checking_keys: string[],
  certs: readonly string[],
): CertAuthority => ({
  kind: "cert_authority",
  version: "v2",
  metadata: { name },
  spec: { type, cluster_name: name, checking_keys, tls_key_pairs: certs.map((cert) => ({ cert })) },
});

/**
 * Throws `already_exists` when a cluster of this name is linked, in whichever direction, by another host authority: whoever has a
 * token may not put itself into another's place. A cluster that rotated its authority keeps one of its keys for as long as that takes.
 */
export async function refuseOtherKeys(
  { store }: Pick<Parts, "store">,
  { name, authorities }: { name: string; authorities: readonly CertAuthority[] },
): Promise<void> {
  const links = [
    { word: "tc", found: await store.trustedClusters.find(name) },
    { word: "rc", found: await store.remoteClusters.find(name) },
  ];
  for (const { word, found } of links) {
    if (!found || sharesHostKey(found.authorities, authorities)) continue;
    throw new Fault(
      "already_exists",
      `a cluster ${name} with other keys is linked there already; if it was set up anew, remove the old link first: tctl rm ${word}/${name}`,
    );
  }
}

export function sharesHostKey(known: readonly CertAuthority[], given: readonly CertAuthority[]): boolean {
  const keys = new Set(hostKeys(known));
  return hostKeys(given).some((key) => keys.has(key));
}

const hostKeys = (authorities: readonly CertAuthority[]): string[] =>
  authorities
    .filter(({ spec }) => spec.type === "host")
    .flatMap(({ spec }) => spec.checking_keys.map((line) => fingerprint(parsePublicKeyLine(line).key)));

const wrong = (what: string): Fault => new Fault("bad_parameter", what);
