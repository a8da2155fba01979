import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { Account } from "#helper";
import { type ClusterView, isAuthority, type Person, personOf } from "#mirror";
import type { Labels } from "#model";
import type { PublicKeyAttempt } from "#ssh";
import { vouchedAddress } from "#ssh/brought";

/** Who is let in, and as whom. */
export interface Visitor {
  readonly person: Person;
  readonly account: Account;
}

/**
 * Whether this key may log in here (SSH-02 to SSH-04): the certificate and its user, the roles, then the OS user. In that
 * order, so that strangers make this machine look nothing up. Throws `access_denied` or `not_found` with the reason,
 * which is for the log and the audit.
 */
export async function authenticate(
  attempt: PublicKeyAttempt,
  parts: {
    readonly view: ClusterView;
    /** This node's labels as they are now. */
    readonly labels: () => Labels;
    readonly accounts: { find(name: string): Promise<Account> };
    /** Throws when this daemon cannot become that login. */
    readonly programs: { check(account: Account): void };
    readonly clock: Pick<Clock, "now">;
    readonly hostId: string;
    /** The IP address of the other end of the connection. */
    readonly peer: string;
  },
): Promise<Visitor> {
  const { view } = parts;
  const now = parts.clock.now();
  const labels = parts.labels();
  const person = personOf(attempt, view, { now, labels, sourceAddress: sourceOf(attempt, parts, now) });
  const decision = person.access.login(attempt.user, labels);
  if (!decision.allowed) {
    const [from, to] = [person.cluster, view.config().cluster_name];
    throw new Fault(
      "access_denied",
      `user ${person.user}@${from} is not authorized to login as ${attempt.user}@${to}: access to server denied: ${decision.reason}`,
    );
  }
  const account = await parts.accounts.find(attempt.user);
  parts.programs.check(account);
  return { person, account };
}

/** Where the client is, if its certificate is bound to addresses: the peer, unless that is a proxy of ours that says better. */
function sourceOf(
  { key, brought }: PublicKeyAttempt,
  { view, hostId, peer }: { view: ClusterView; hostId: string; peer: string },
  now: Millis,
): string {
  const { certificate } = key;
  if (brought?.vouched === undefined || !certificate?.criticalOptions.has("source-address")) return peer;
  return vouchedAddress(brought, {
    audience: hostId,
    user: certificate.keyId,
    now,
    isAuthority: (signer) => isAuthority(signer, "host", view),
  });
}
