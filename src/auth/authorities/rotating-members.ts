import type { LaggingMember } from "#contract/auth";
import { type AuthorityType, type CertAuthority, type MemberRotation, servedOf } from "#model";
import type { Store } from "#store";

/** A member of the cluster as a rotation sees it. */
export interface RotatingMember {
  readonly kind: "node" | "proxy" | "auth_server";
  readonly hostId: string;
  readonly name: string;
  /** It has certificates that are good, and is not there. */
  readonly offline: boolean;
  /** What it has said of itself; undefined while it is away. */
  readonly served: MemberRotation | undefined;
}

/** Who holds certificates of the host authority, whether or not they are there. */
export async function rotatingMembers(store: Store): Promise<RotatingMember[]> {
  const [hosts, nodes, proxies, authServers] = await Promise.all([
    store.hosts.list(),
    store.nodes.list(),
    store.proxies.list(),
    store.authServers.list(),
  ]);
  const there = [...nodes, ...proxies, ...authServers].map(
    ({ kind, metadata, spec }): RotatingMember => ({
      kind,
      hostId: metadata.name,
      name: spec.hostname,
      offline: false,
      served: spec.rotation ?? {},
    }),
  );
  const known = new Set(there.map(({ kind, hostId }) => `${kind} ${hostId}`));
  const away = hosts
    .filter(({ kind, host_id }) => !known.has(`${kind} ${host_id}`))
    .map(
      ({ kind, host_id, name }): RotatingMember => ({
        kind,
        hostId: host_id,
        name,
        offline: true,
        served: undefined,
      }),
    );
  return [...there, ...away].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

const order = ({ name, kind, hostId }: RotatingMember): string => `${name} ${kind} ${hostId}`;

/** Those that do not yet do what the phase of a rotation that is under way asks of them (ROT-09). */
export function behind(
  members: readonly RotatingMember[],
  authorities: readonly CertAuthority[],
): LaggingMember[] {
  const rotating = authorities.filter(({ spec }) => spec.rotation?.state === "in_progress");
  return lagging(members, rotating);
}

/** Of the members those that do not serve one of the authorities as it is now, with which. */
function lagging(members: readonly RotatingMember[], authorities: readonly CertAuthority[]): LaggingMember[] {
  return members.flatMap((member) => {
    const late = authorities.filter((ca) => !serves(member, ca)).map(({ spec }) => spec.type);
    return late.length === 0 ? [] : [describe(member, late)];
  });
}

function serves({ served }: RotatingMember, ca: CertAuthority): boolean {
  const wanted = servedOf(ca);
  const said = served?.[ca.spec.type];
  if (!wanted) return served !== undefined;
  return said?.current_id === wanted.current_id && said.phase === wanted.phase;
}

const describe = (
  { kind, name, hostId, offline, served }: RotatingMember,
  authorities: readonly AuthorityType[],
): LaggingMember => {
  const phase = served?.host?.phase;
  return { kind, name, host_id: hostId, offline, authorities: [...authorities], ...(phase && { phase }) };
};

/**
 * Whom a rotation of the host authority would cut off if it came to its end, or to its next phase, as things are: all but the
 * auth servers when it is replaced at once; at the end those who have not come so far; before it those who are away, and stay away.
 */
export function cutOff(
  members: readonly RotatingMember[],
  host: CertAuthority,
  what: "replace" | "end" | "step",
): LaggingMember[] {
  // An auth server gets its certificates from itself.
  const others = members.filter(({ kind }) => kind !== "auth_server");
  if (what === "end") return lagging(others, [host]);
  const meant = what === "replace" ? others : others.filter(({ offline }) => offline);
  return meant.map((member) => describe(member, ["host"]));
}
