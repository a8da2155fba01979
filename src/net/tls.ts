import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { Fault } from "#core/errors";

/** PEM texts: the certificate with its chain, and its private key. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * `ciphers` of a TLS server that takes these suites of TLS 1.2, in OpenSSL's names, and all of TLS 1.3: those are all good,
 * and naming none of them would switch TLS 1.3 off.
 */
export const tlsCiphers = (suites: readonly string[]): string =>
  ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", ...suites].join(":");

/** Throws `bad_parameter` when the two cannot serve TLS: not PEM, or a key of another certificate. */
export function checkTlsPair({ cert, key }: TlsPair): void {
  let fits = false;
  let cause: unknown;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    // Reads the rest of the chain too.
    createSecureContext({ cert, key });
  } catch (error) {
    fits = false;
    cause = error;
  }
  if (!fits) {
    throw new Fault("bad_parameter", "the TLS certificate and its private key do not fit together", {
      cause,
    });
  }
}

let authorities: string[] | undefined;
/** Whom this machine believes about servers: Node's authorities and the machine's own, where a company adds its. PEM. */
export const trustedAuthorities = (): string[] =>
  (authorities ??= [...getCACertificates("default"), ...getCACertificates("system")]);
