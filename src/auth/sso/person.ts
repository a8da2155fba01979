import { Fault } from "#core/errors";
import { type Connector, ResourceName, type Traits, type User, User as UserSchema } from "#model";

/** Somebody as an identity provider and the connector's mapping describe them. */
export interface External {
  /** The name of the account: a GitHub login, an e-mail address. */
  readonly name: string;
  /** What stays the same for this person at the provider: for GitHub the login, for OIDC `sub`. */
  readonly identity: string;
  readonly roles: readonly string[];
  readonly traits: Traits;
}

/** What a provider is called in sentences. */
export const providerOf = { github: "Github", oidc: "OIDC" } as const;

/**
 * The account of `external` after a login by `connector`, good until `expires` at least (AUTH-65). Nothing of the roles and traits of an
 * earlier login stays. Throws `access_denied` when `before`, the account of that name, is anybody else's: a local user, one of another
 * connector, or another person who had the name at the same provider; and when an administrator has locked it.
 */
export function accountOf(
  external: External,
  connector: Connector & { kind: "github" | "oidc" },
  before: User | undefined,
  { now, expires }: { readonly now: string; readonly expires: string },
): User {
  const { name, identity } = external;
  const { kind } = connector;
  const id = connector.metadata.name;
  const named = ResourceName.safeParse(name);
  if (!named.success)
    throw new Fault("access_denied", `${JSON.stringify(name)} cannot be the name of a user here`);
  const identities = `${kind}_identities` as const;
  if (before) {
    const maker = before.spec.created_by?.connector;
    if (maker?.type !== kind)
      throw new Fault(
        "access_denied",
        `user ${JSON.stringify(name)} already exists and is not ${providerOf[kind]} user`,
      );
    if (maker.id !== id)
      throw new Fault(
        "access_denied",
        `user ${JSON.stringify(name)} already exists and logs in by the connector ${JSON.stringify(maker.id)}`,
      );
    const held =
      before.spec[identities]?.find(({ connector_id }) => connector_id === id)?.username ?? maker.identity;
    if (held !== identity)
      throw new Fault(
        "access_denied",
        `user ${JSON.stringify(name)} already exists and is another person at the identity provider`,
      );
  }
  const until = before?.spec.expires;
  return UserSchema.parse({
    kind: "user",
    version: "v2",
    metadata: before?.metadata ?? { name },
    spec: {
      roles: [...external.roles],
      traits: external.traits,
      // A short login must not end a longer one of the same person.
      expires: until !== undefined && Date.parse(until) > Date.parse(expires) ? until : expires,
      ...(before && { status: before.spec.status }),
      created_by: before?.spec.created_by ?? {
        time: now,
        user: { name: "system" },
        connector: { type: kind, id, identity: name },
      },
      [identities]: [{ connector_id: id, username: identity }],
    },
  });
}
