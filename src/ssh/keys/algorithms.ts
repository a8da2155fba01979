import type { PublicKey } from "./key.ts";

const certified = "-cert-v01@openssh.com";

/**
 * The name without its certificate part: `rsa-sha2-512-cert-v01@openssh.com` → `rsa-sha2-512`; a plain name stays
 * as it is. For signature algorithms and key types alike. What a signature blob carries is always the plain name.
 */
export function plainAlgorithm(name: string): string {
  if (!name.endsWith(certified)) return name;
  const stem = name.slice(0, -certified.length);
  return stem.startsWith("sk-") ? `${stem}@openssh.com` : stem;
}

/** The other way: `ssh-ed25519` → `ssh-ed25519-cert-v01@openssh.com`. */
export function certifiedAlgorithm(plain: string): string {
  return plain.replace(/@openssh\.com$/, "") + certified;
}

/**
 * The names under which `key` is used on the wire, best first: as host key algorithms in KEXINIT (RFC 4253 §7.1) and
 * as the algorithm of a publickey request (RFC 4252 §7). `key.algorithms` are the plain names; these are the same
 * for a plain key and the certified ones for a certificate. A peer that names another algorithm with `key` is wrong.
 */
export function offeredAlgorithms(key: PublicKey): readonly string[] {
  return key.certificate ? key.algorithms.map(certifiedAlgorithm) : key.algorithms;
}
