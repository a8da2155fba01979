import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import {
  type Access,
  type AuthorityType,
  access,
  accountProblem,
  type CertAuthority,
  type Labels,
  type Role,
  rolesHere,
  Traits,
  type TrustedCluster,
  userAuthorityOf,
} from "#model";
import { type Certificate, checkCertificate, type PublicKey, parsePublicKeyLine, sameKey } from "#ssh/keys";
import type { ClusterView } from "./view.ts";

/** A person as an SSH certificate of a cluster we trust presents them, with everything their roles decide. */
export interface Person {
  readonly user: string;
  /** The cluster whose user CA signed: this one, or one that it trusts. */
  readonly cluster: string;
  readonly certificate: Certificate;
  /** The same as it was shown, to be shown to another cluster. */
  readonly key: PublicKey;
  /** When the certificate ends; undefined when it does not. */
  readonly expires: Millis | undefined;
  readonly access: Access;
}

type View = Pick<ClusterView, "authorities" | "trustedClusters" | "user" | "role" | "config">;

/** Whose user authority signed; `link` when that is another cluster's. */
interface Origin {
  readonly authority: CertAuthority;
  readonly link?: TrustedCluster;
}

/**
 * Who offers this key to log in as `login`: the checks that node and proxy share (SSH-02, SSH-04, AUTH-44). Throws
 * `access_denied` with the reason, which is for the log and the audit, not for the client.
 */
export function personOf(
  attempt: { readonly user: string; readonly key: PublicKey },
  view: View,
  at: {
    readonly now: Millis;
    readonly sourceAddress?: string;
    /** Of the node that is logged in to. */
    readonly labels?: Labels;
  },
): Person {
  const { key, user: login } = attempt;
  // First: where nothing is known, or no more, that is the reason.
  view.config();
  if (!key.certificate)
    throw new Fault("access_denied", `unsupported key type: ${key.type} is not a certificate`);
  const found: { origin?: Origin | undefined } = {};
  const certificate = checkCertificate(key, {
    type: "user",
    isAuthority: (ca) => {
      found.origin = originOf(ca, view);
      return found.origin !== undefined;
    },
    now: at.now,
    ...(at.sourceAddress !== undefined && { sourceAddress: at.sourceAddress }),
  });
  const { origin } = found;
  if (!origin) throw new Fault("internal", "a certificate was believed that nobody signed");
  const { authority, link } = origin;
  const cluster = authority.spec.cluster_name;
  const user = certificate.keyId;
  const problem = userProblem({ user, cluster, certificate }, view, at.now);
  if (problem !== undefined) throw new Fault("access_denied", problem);
  const { roles, traits } = link ? guest(certificate, link) : member(user, certificate, view);
  // A role's condition that names somebody of this cluster does not mean a namesake.
  const name = link ? `${user}@${cluster}` : user;
  const decide = (): Access => access({ user: name, roles: roles.map((role) => roleOf(role, view)), traits });
  if (!certificate.principals.includes(login)) throw notFor(login, user, at.labels, decide);
  return {
    user,
    cluster,
    certificate,
    key,
    expires: certificate.validBefore > maxSeconds ? undefined : Number(certificate.validBefore) * 1000,
    access: decide(),
  };
}

function originOf(key: PublicKey, view: Pick<View, "authorities" | "trustedClusters">): Origin | undefined {
  const signs = ({ spec }: CertAuthority): boolean =>
    spec.checking_keys.some((line) => sameKey(keyOf(line), key));
  const own = view.authorities("user").find(signs);
  if (own) return { authority: own };
  for (const link of view.trustedClusters()) {
    const authority = userAuthorityOf(link);
    if (authority && signs(authority)) return { authority, link: link.resource };
  }
  return undefined;
}

interface Standing {
  readonly roles: readonly string[];
  readonly traits: Traits;
}

/** What somebody of this cluster is. */
function member(user: string, certificate: Certificate, view: Pick<View, "user">): Standing {
  const record = view.user(user);
  return {
    roles: rolesIn(certificate) ?? record?.spec.roles ?? [],
    traits: traitsIn(certificate) ?? record?.spec.traits ?? {},
  };
}

/**
 * What somebody of another cluster is here (SSH-04): the mapping decides on the roles, and of what the other cluster says of its
 * people only the logins count. A record here of the same name is somebody else's (S32).
 */
const guest = (certificate: Certificate, link: TrustedCluster): Standing => ({
  roles: rolesHere(link, rolesIn(certificate) ?? []),
  traits: { logins: [...certificate.principals] },
});

/** The roles say why a certificate does not name a login, unless they have changed since it was made. */
function notFor(login: string, user: string, labels: Labels | undefined, decide: () => Access): Fault {
  const because = (): string => {
    try {
      const { allowed, reason } = labels ? decide().login(login, labels) : decide().principal(login);
      return allowed ? "it was made before the roles allowed it; log in again" : reason;
    } catch (err) {
      if (err instanceof Fault) return err.message;
      throw err;
    }
  };
  const sentence = `certificate ${JSON.stringify(user)} is not for ${JSON.stringify(login)}`;
  return new Fault("access_denied", `${sentence}: ${because()}`);
}

/**
 * Why a local user may not get in, or stay in, although the certificate is good (AUTH-44): deleted, locked by an
 * administrator, or somebody else by now. A lock by failed logins stops logins only. Of people of other clusters those know.
 */
export function userProblem(
  { user, cluster, certificate }: Pick<Person, "user" | "cluster" | "certificate">,
  view: Pick<ClusterView, "user" | "config">,
  now: Millis,
): string | undefined {
  if (cluster !== view.config().cluster_name) return undefined;
  const record = view.user(user);
  return record
    ? accountProblem(record, now, Number(certificate.validAfter) * 1000)
    : `user ${user} does not exist any more`;
}

/**
 * Why the certificate that opened a connection opens nothing more (S36): its authority has been rotated out. `everything` when
 * that was done at once, as with an authority that fell into wrong hands, or its cluster is not trusted any more: then what is
 * open ends too (ROT-08, TC-13).
 */
export function authorityProblem(
  { certificate, cluster }: Pick<Person, "certificate" | "cluster">,
  view: Pick<ClusterView, "authorities" | "trustedClusters">,
): { readonly reason: string; readonly everything: boolean } | undefined {
  const own = view.authorities("user");
  // Nothing is known any more (CFG-23): nobody new gets in, which says nothing of who is in.
  if (own.length === 0) return undefined;
  const all = [...own, ...view.trustedClusters().flatMap((link) => userAuthorityOf(link) ?? [])];
  const authority = all.find(({ spec }) => spec.cluster_name === cluster);
  if (!authority) return { reason: `the cluster ${cluster} is not trusted here any more`, everything: true };
  if (authority.spec.checking_keys.some((line) => sameKey(keyOf(line), certificate.signatureKey)))
    return undefined;
  return {
    reason: `the certificate authority of ${cluster} has been rotated since you logged in; log in again`,
    everything: authority.spec.rotation?.grace_period === "0s",
  };
}

/** The role must exist: the missing one may be the one that denies. */
function roleOf(name: string, view: View): Role {
  const role = view.role(name);
  if (!role) throw new Fault("access_denied", `role ${name} of the certificate does not exist`);
  return role;
}

/** Beyond this a date is no date, and a certificate so long-lived has no end for us. */
const maxSeconds = 8_640_000_000_000n;

function rolesIn(certificate: Certificate): readonly string[] | undefined {
  const said = jsonOf(certificate, "teleport-roles") as { roles?: unknown } | undefined;
  if (said === undefined) return undefined;
  const { roles } = said;
  if (Array.isArray(roles) && roles.every((role) => typeof role === "string")) return roles;
  throw new Fault("access_denied", "the certificate's roles cannot be read");
}

function traitsIn(certificate: Certificate): Traits | undefined {
  const said = jsonOf(certificate, "teleport-traits");
  if (said === undefined) return undefined;
  const parsed = Traits.safeParse(said);
  if (!parsed.success) throw new Fault("access_denied", "the certificate's traits cannot be read");
  return parsed.data;
}

function jsonOf(certificate: Certificate, extension: string): unknown {
  const text = certificate.extensions.get(extension);
  if (text === undefined || text === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below, for this and for JSON that is no object.
  }
  throw new Fault("access_denied", `the certificate's ${extension} cannot be read`);
}

/** Whether this is a key of this cluster's own authority for users or hosts. */
export function isAuthority(
  key: PublicKey,
  type: AuthorityType,
  view: Pick<ClusterView, "authorities" | "config">,
): boolean {
  const own = view.config().cluster_name;
  return view
    .authorities(type)
    .some(
      ({ spec }) => spec.cluster_name === own && spec.checking_keys.some((line) => sameKey(keyOf(line), key)),
    );
}

/** Authorities are few and asked at every login: their lines are read once. */
const keys = new Map<string, PublicKey>();
function keyOf(line: string): PublicKey {
  let key = keys.get(line);
  if (!key) {
    if (keys.size > 1000) keys.clear();
    key = parsePublicKeyLine(line).key;
    keys.set(line, key);
  }
  return key;
}
