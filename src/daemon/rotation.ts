import type { Auth } from "#auth";
import type { Clock } from "#core/clock";
import type { Random } from "#core/random";
import type { Mirror } from "#mirror";
import { type CertAuthority, type MemberRotation, type ServedRotation, servedOf } from "#model";
import { type AuthoritySource, timeFor } from "./identity.ts";
import type { Member } from "./member.ts";

/** The cluster's own host authority, as its auth service has it. */
export const hostAuthorityOf = (
  auth: Pick<Auth, "authorities" | "onAuthorities" | "clusterName">,
): AuthoritySource => ({
  authority: () => own(auth.authorities(), auth.clusterName, "host"),
  onChange: (listener) => auth.onAuthorities(listener),
});

/** The `rotation` of a member's record: how far it is with both authorities (ROT-09). */
export function rotationOf(
  authorities: readonly CertAuthority[],
  cluster: string,
  host: ServedRotation | undefined,
): { rotation?: MemberRotation } {
  // Nothing is to be done for the other authority but to know its keys, and here they are known.
  const ca = own(authorities, cluster, "user");
  const user = ca && servedOf(ca);
  if (!user && !host) return {};
  return { rotation: { ...(user && { user }), ...(host && { host }) } };
}

/** A member's part in rotations. */
export interface Rotating {
  /** For its record. */
  readonly record: () => { rotation?: MemberRotation };
  /** Calls back when that has become another. */
  onChange(listener: () => void): void;
}

/** Has a member's identity follow what its copy of the cluster's state tells of the authorities. */
export function followRotations(
  { keeper }: Pick<Member, "keeper">,
  mirror: Pick<Mirror, "authorities" | "onChange" | "config" | "connected">,
  { clock, random }: { readonly clock: Clock; readonly random: Pick<Random, "fraction"> },
): Rotating {
  const listeners = new Set<() => void>();
  const record = (): { rotation?: MemberRotation } =>
    mirror.connected
      ? rotationOf(mirror.authorities("user"), mirror.config().cluster_name, keeper.served)
      : {};
  let told = JSON.stringify(record());
  const look = (): void => {
    const now = JSON.stringify(record());
    if (now === told) return;
    told = now;
    // Thousands of members are told of a phase at the same moment.
    const times = [...mirror.authorities("user"), ...mirror.authorities("host")].map((ca) =>
      timeFor(ca, clock.now()),
    );
    void clock
      .sleep(Math.max(0, ...times) * random.fraction(), undefined, { background: true })
      .then(() => listeners.forEach((listener) => void listener()));
  };
  keeper.onServed(look);
  mirror.onChange(look);
  keeper.follow({
    // A copy on disk may be older than what the identity was told last.
    authority: () =>
      mirror.connected ? own(mirror.authorities("host"), mirror.config().cluster_name, "host") : undefined,
    onChange: (listener) => mirror.onChange(listener),
  });
  return { record, onChange: (listener) => void listeners.add(listener) };
}

const own = (
  authorities: readonly CertAuthority[],
  cluster: string,
  type: "user" | "host",
): CertAuthority | undefined =>
  authorities.find(({ spec }) => spec.type === type && spec.cluster_name === cluster);
