import type { IssuedCerts } from "#contract/auth";
import { type PrivateKey, type PublicKey, parsePublicKeyLine, sameKey } from "#ssh/keys";
import { type Credentials, type HostAuthority, isClusterName } from "./keystore.ts";

/** The keys that were sent to be certified. */
interface CertifiedKeys {
  readonly key: PrivateKey;
  /** PEM, PKCS#8. */
  readonly tlsKey: string | undefined;
}

/**
 * What a cluster issued for `user`, with the keys that it is for. Undefined when it is for another user or other keys, or names
 * hosts' authorities in a way that makes no sense.
 */
export function credentialsOf(
  user: string,
  { key, tlsKey }: CertifiedKeys,
  issued: IssuedCerts,
): Credentials | undefined {
  const certificate = issued.cert === undefined ? undefined : parsePublicKeyLine(issued.cert).key;
  if (certificate && !certifies(certificate, key.publicKey)) return undefined;
  if (issued.username !== user) return undefined;
  const hostAuthorities = issued.host_signers.flatMap(({ domain_name, checking_keys }) =>
    checking_keys.map((line): HostAuthority => {
      return { cluster: domain_name, key: parsePublicKeyLine(line).key };
    }),
  );
  // The name becomes the first word of a line of `known_hosts`, so it must be one.
  if (hostAuthorities.some(({ cluster, key: ca }) => !isClusterName(cluster) || ca.certificate))
    return undefined;
  return {
    user,
    key,
    certificate,
    tls:
      issued.tls_cert === undefined || tlsKey === undefined
        ? undefined
        : { cert: issued.tls_cert, key: tlsKey },
    tlsAuthorities: issued.host_signers.flatMap(({ tls_certs }) => tls_certs),
    hostAuthorities,
    hostKeys: [],
  };
}

const certifies = (certificate: PublicKey, key: PublicKey): boolean =>
  certificate.certificate?.type === "user" && sameKey(certificate.certificate.key, key);
