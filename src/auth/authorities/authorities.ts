import { Fault } from "#core/errors";
import { type AuthorityType, type CertAuthority, publicPart, signerIndex } from "#model";
import { makeAuthority as makeTlsAuthority, type TlsPair } from "#pki";
import {
  fingerprint,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  parsePrivateKey,
  type Signer,
} from "#ssh/keys";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";
import type { Generation } from "./phases.ts";

/** Makes what is missing of the cluster's two authorities (AUTH-01, OVW-13). To be called under the lock. */
export async function ensureAuthorities(parts: Parts): Promise<void> {
  for (const type of ["user", "host"] as const) {
    if (await parts.store.authorities.find(`${type}/${parts.clusterName}`)) continue;
    const { ca, print } = await newAuthority(parts, type);
    await parts.store.authorities.create(ca);
    await record(parts, { code: "T4020I", kind: type, fingerprint: print });
  }
}

async function newAuthority(
  parts: Parts,
  type: AuthorityType,
): Promise<{ ca: CertAuthority; print: string }> {
  const { clusterName } = parts;
  const { keys, print } = await newGeneration(parts);
  const ca: CertAuthority = {
    kind: "cert_authority",
    version: "v2",
    metadata: { name: clusterName },
    spec: { type, cluster_name: clusterName, ...keys },
  };
  return { ca, print };
}

/** An SSH key pair and an X.509 CA of keys of their own (OVW-14), of the type that the file asks for now. */
export async function newGeneration({
  clusterName,
  config,
  clock,
}: Pick<Parts, "clusterName" | "config" | "clock">): Promise<{ keys: Generation; print: string }> {
  const rsa = config.keyType === "rsa";
  const ssh = await generateKey(rsa ? "rsa-2048" : "ed25519");
  const tls = await makeTlsAuthority({
    clusterName,
    keyType: rsa ? "rsa-2048" : "ecdsa-p256",
    now: clock.now(),
  });
  const keys = {
    checking_keys: [formatPublicKeyLine({ key: ssh.publicKey })],
    signing_keys: [formatPrivateKey(ssh)],
    tls_key_pairs: [tls],
  };
  return { keys, print: fingerprint(ssh.publicKey) };
}

/** The pair of keys that signs now. */
interface SigningAuthority {
  readonly ssh: Signer;
  readonly tls: TlsPair;
  readonly ca: CertAuthority;
}

/**
 * Our own authority with its private keys, those that sign now: over a rotation the SSH certificates of hosts, which are shown
 * to clients, and X.509 certificates, which are shown by them, may be of two generations. `tls` names the X.509 pair that is to
 * sign instead. Private keys leave this process in no answer but `authorities.list` to the admin.
 */
export async function signingAuthority(
  { store, clusterName }: Pick<Parts, "store" | "clusterName">,
  type: AuthorityType,
  { tls = () => 0 }: { readonly tls?: (ca: CertAuthority) => number } = {},
): Promise<SigningAuthority> {
  const ca = await store.authorities.get(`${type}/${clusterName}`);
  const key = ca.spec.signing_keys?.[signerIndex(ca, type === "host" ? "server" : "client")];
  const pair = ca.spec.tls_key_pairs[tls(ca)];
  if (!key || !pair?.key)
    throw new Fault("internal", `the ${type} authority of ${clusterName} has no private keys`);
  return {
    ssh: parsePrivateKey(key).key.signer(),
    tls: { cert: pair.cert, key: pair.key },
    ca: publicPart(ca),
  };
}

export const tlsCerts = (ca: CertAuthority): string[] => ca.spec.tls_key_pairs.map(({ cert }) => cert);
