import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import {
  type Certificate,
  checkCertificate,
  hostVerifier,
  type KnownHost,
  type PublicKey,
  sameKey,
} from "#ssh/keys";
import type { Jump } from "./address.ts";
import type { HostAuthority, HostKey } from "./keystore.ts";

/** Whom to believe. */
export interface Trust {
  /** The cluster that the proxy is of. */
  readonly cluster: string;
  readonly authorities: readonly HostAuthority[];
  readonly hostKeys: readonly HostKey[];
  /** Lines of a known_hosts file of the user's own, for hosts without certificates. */
  readonly knownHosts?: readonly KnownHost[];
  readonly clock: Clock;
}

/** Any proxy of the cluster: its names may lie behind a balancer that it does not know, its role it cannot borrow. */
export function verifyProxy(key: PublicKey, trust: Trust): void {
  if (!isProxy(ofCluster(key, (cluster) => cluster === trust.cluster, trust))) {
    throw new Fault("access_denied", "it is a host of the cluster, but no proxy");
  }
}

/**
 * A host to jump over (`-J`): a proxy of any cluster that is known here, or one of its nodes by name. It carries what is
 * encrypted for another. Throws, or answers which of the two it is.
 */
export function verifyJump(key: PublicKey, { host }: Jump, trust: Trust): "proxy" | "node" {
  const certificate = ofCluster(key, () => true, trust);
  if (isProxy(certificate)) return "proxy";
  const clusters = new Set(trust.authorities.map(({ cluster }) => cluster));
  checkNames(certificate, host, [host, ...[...clusters].map((cluster) => `${host}.${cluster}`)]);
  return "node";
}

const isProxy = (certificate: Certificate): boolean =>
  certificate.extensions.get("x-teleport-role") === "Proxy";

/** Throws, or answers with the plain key that the user has to decide on (TSH-25). */
export function verifyHost(
  key: PublicKey,
  { host, port, cluster }: { readonly host: string; readonly port: number; readonly cluster: string },
  trust: Trust,
): HostKey | undefined {
  if (!key.certificate) {
    const name = `${host.toLowerCase()}:${port}@${cluster}`;
    if (trust.knownHosts) return byOwnFile(key, { host, port }, trust) ? undefined : { host: name, key };
    const known = trust.hostKeys.filter((one) => one.host === name);
    if (known.some((one) => sameKey(one.key, key))) return undefined;
    if (known.length === 0) return { host: name, key };
    throw new Fault(
      "access_denied",
      `${host} shows another key than the known one: somebody may be in between`,
    );
  }
  let certificate: Certificate;
  try {
    certificate = ofCluster(key, (known) => known === cluster, trust);
  } catch (err) {
    throw new Fault(
      "access_denied",
      `${host} could not prove that it is a host of ${cluster}: ${(err as Error).message}`,
      { cause: err },
    );
  }
  checkNames(certificate, host, [host, `${host}.${cluster}`]);
  return undefined;
}

/** Whether the user's own file lists the key; throws when it lists another, or takes this one back. */
function byOwnFile(
  key: PublicKey,
  { host, port }: { host: string; port: number },
  { knownHosts = [], clock }: Trust,
): boolean {
  try {
    hostVerifier(knownHosts, { host, port: port || 22, now: () => clock.now() })(key);
    return true;
  } catch (err) {
    if (Fault.is(err, "access_denied") && err.details.reason === "unknown") return false;
    throw err;
  }
}

function checkNames({ principals }: Certificate, host: string, names: readonly string[]): void {
  const wanted = names.map((name) => name.toLowerCase());
  if (principals.some((principal) => wanted.includes(principal.toLowerCase()))) return;
  throw new Fault(
    "access_denied",
    `the host that answers for ${host} has a certificate for other names: ${principals.join(", ")}`,
  );
}

/** A cluster's own authority counts, and no other: the hosts of one cluster must not pass for those of another. */
function ofCluster(
  key: PublicKey,
  counts: (cluster: string) => boolean,
  { authorities, clock }: Pick<Trust, "authorities" | "clock">,
): Certificate {
  return checkCertificate(key, {
    type: "host",
    isAuthority: (ca) => authorities.some((known) => counts(known.cluster) && sameKey(known.key, ca)),
    now: clock.now(),
  });
}
