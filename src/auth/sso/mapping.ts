import { Fault } from "#core/errors";
import { type GithubConnector, type OidcConnector, type Traits, valueMapper } from "#model";

/** A team of a person at GitHub: the organization's login and the team's slug. */
export interface Team {
  readonly organization: string;
  readonly team: string;
}

interface Mapped {
  readonly roles: string[];
  readonly traits: Traits;
}

/**
 * What the entries of `teams_to_logins` give to `user`, taken together (AUTH-63). Throws `access_denied` with the sentences of
 * AUTH-64 when that is nothing.
 */
export function mapTeams({ metadata, spec }: GithubConnector, user: string, teams: readonly Team[]): Mapped {
  const entries = spec.teams_to_logins;
  const connector = JSON.stringify(metadata.name);
  if (entries.length === 0)
    throw new Fault("access_denied", `connector ${connector} has empty teams_to_logins mapping`);
  if (teams.length === 0)
    throw new Fault("access_denied", "list of user teams is empty, did you grant access?");
  // GitHub's names differ by more than the case of their letters.
  const keyOf = ({ organization, team }: Team): string => `${organization}/${team}`.toLowerCase();
  const own = new Set(teams.map(keyOf));
  const matching = entries.filter((entry) => own.has(keyOf(entry)));
  if (matching.length === 0)
    throw new Fault(
      "access_denied",
      `user ${JSON.stringify(user)} does not belong to any teams configured in ${connector} connector`,
    );
  const all = (pick: (entry: (typeof entries)[number]) => readonly string[] | undefined): string[] => [
    ...new Set(matching.flatMap((entry) => pick(entry) ?? [])),
  ];
  const roles = all((entry) => entry.roles);
  return {
    roles: roles.length > 0 ? roles : ["admin"],
    traits: {
      logins: all((entry) => entry.logins),
      kubernetes_groups: all((entry) => entry.kubernetes_groups),
    },
  };
}

/** Claims about the token, not about the person. */
const technical = new Set([
  ...["iss", "aud", "exp", "nbf", "iat", "jti", "nonce", "azp", "at_hash", "c_hash", "s_hash"],
  ...["auth_time", "acr", "amr", "sid", "typ"],
]);

/** Bytes of all traits: they go into every certificate, and with it through the address line of a browser. */
const mostTraits = 8 * 1024;

/**
 * Claims as traits, for `{{external.x}}` (AUTH-71): texts, numbers, yes and no, and lists of them; nested ones are left out. Throws
 * `access_denied` for more than a certificate can carry: to leave some out could lose the one that denies.
 */
export function traitsOf(claims: Readonly<Record<string, unknown>>): Traits {
  const traits: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(claims)) {
    if (technical.has(name)) continue;
    const values = (Array.isArray(value) ? value : [value]).filter((one) =>
      ["string", "number", "boolean"].includes(typeof one),
    );
    if (values.length > 0) traits[name] = [...new Set(values.map(String))];
  }
  const size = Buffer.byteLength(JSON.stringify(traits));
  if (size > mostTraits)
    throw new Fault(
      "access_denied",
      `the identity provider tells ${size} bytes about you, ${mostTraits} is the most that a certificate can carry; ask for fewer scopes`,
    );
  return traits;
}

/** The roles that `claims_to_roles` gives for these traits. Throws `access_denied` when that is none. */
export function mapClaims({ metadata, spec }: OidcConnector, user: string, traits: Traits): Mapped {
  const connector = JSON.stringify(metadata.name);
  if (spec.claims_to_roles.length === 0)
    throw new Fault("access_denied", `connector ${connector} has empty claims_to_roles mapping`);
  const roles = new Set<string>();
  for (const { claim, value, roles: given } of spec.claims_to_roles) {
    const map = valueMapper(value);
    const values = Object.hasOwn(traits, claim) ? (traits[claim] ?? []) : [];
    for (const one of values) {
      for (const role of given) {
        const name = map(one, role);
        if (name) roles.add(name);
      }
    }
  }
  if (roles.size === 0)
    throw new Fault(
      "access_denied",
      `user ${JSON.stringify(user)} has no claim that the ${connector} connector maps to a role`,
    );
  return { roles: [...roles], traits };
}
