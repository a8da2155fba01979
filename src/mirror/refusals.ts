import type { PublicKey } from "#ssh/keys";

/** What an `auth` event says of a refused client. */
export interface Refusal {
  readonly user: string;
  readonly login: string;
  readonly error: string;
}

/**
 * Clients offer every key they have, so most refusals say nothing. Of one connection's refusals this keeps the one worth
 * an audit record: of a certificate before a plain key, the latest before earlier ones.
 */
export function refusals() {
  let kept: Refusal | undefined;
  let ofCertificate = false;
  return {
    add(attempt: { user: string; key?: PublicKey }, reason: unknown): void {
      const { key } = attempt;
      if (!key || (ofCertificate && !key.certificate)) return;
      ofCertificate = key.certificate !== undefined;
      kept = {
        // Whom the certificate names, whether or not it is to be believed: the record says that it was refused.
        user: key.certificate?.keyId ?? "",
        login: attempt.user,
        error: reason instanceof Error ? reason.message : String(reason),
      };
    },
    worst: (): Refusal | undefined => kept,
  };
}
