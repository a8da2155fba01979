import { Fault } from "#core/errors";
import { type AuthorityType, type CertAuthority, publicPart } from "#model";
import { makeAuthority as makeTlsAuthority, type TlsPair } from "#pki";
import {
  fingerprint,
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  parsePrivateKey,
  type Signer,
} from "#ssh/keys";
import { record } from "./audit.ts";
import type { Parts } from "./parts.ts";

/** Makes what is missing of the cluster's two authorities (AUTH-01, OVW-13). To be called under the lock. */
export async function ensureAuthorities(parts: Parts): Promise<void> {
  for (const type of ["user", "host"] as const) {
    if (await parts.store.authorities.find(`${type}/${parts.clusterName}`)) continue;
    const { ca, print } = await newAuthority(parts, type);
    await parts.store.authorities.create(ca);
    await record(parts, { code: "T4020I", kind: type, fingerprint: print });
  }
}

/** An SSH key pair and an X.509 CA of keys of their own (OVW-14). */
async function newAuthority(
  { clusterName, config, clock }: Parts,
  type: AuthorityType,
): Promise<{ ca: CertAuthority; print: string }> {
  const rsa = config.keyType === "rsa";
  const ssh = await generateKey(rsa ? "rsa-2048" : "ed25519");
  const tls = await makeTlsAuthority({
    clusterName,
    keyType: rsa ? "rsa-2048" : "ecdsa-p256",
    now: clock.now(),
  });
  const ca: CertAuthority = {
    kind: "cert_authority",
    version: "v2",
    metadata: { name: clusterName },
    spec: {
      type,
      cluster_name: clusterName,
      checking_keys: [formatPublicKeyLine({ key: ssh.publicKey })],
      signing_keys: [formatPrivateKey(ssh)],
      tls_key_pairs: [tls],
    },
  };
  return { ca, print: fingerprint(ssh.publicKey) };
}

/** The pair of keys that signs now. */
export interface SigningAuthority {
  readonly ssh: Signer;
  readonly tls: TlsPair;
  readonly ca: CertAuthority;
}

/** Our own authority with its private keys. They leave this process in no answer but `authorities.list` to the admin. */
export async function signingAuthority(
  { store, clusterName }: Pick<Parts, "store" | "clusterName">,
  type: AuthorityType,
): Promise<SigningAuthority> {
  const ca = await store.authorities.get(`${type}/${clusterName}`);
  const key = ca.spec.signing_keys?.[0];
  const pair = ca.spec.tls_key_pairs[0];
  if (!key || !pair?.key)
    throw new Fault("internal", `the ${type} authority of ${clusterName} has no private keys`);
  return {
    ssh: parsePrivateKey(key).key.signer(),
    tls: { cert: pair.cert, key: pair.key },
    ca: publicPart(ca),
  };
}

export const tlsCerts = (ca: CertAuthority): string[] => ca.spec.tls_key_pairs.map(({ cert }) => cert);
