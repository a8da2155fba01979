import type { Connector, GithubConnector, OidcConnector, SamlConnector } from "#model";
import { table } from "../../table.ts";
import { type Kind, list, of, sorted } from "./kind.ts";

const id = ({ kind, metadata }: Connector): string => `${kind}/${metadata.name}`;

/** RES-06. */
const removed = ({ kind, metadata: { name } }: Connector): string =>
  kind === "github"
    ? `github connector ${JSON.stringify(name)} has been deleted`
    : `${kind.toUpperCase()} connector ${name} has been deleted`;

/** Connectors, of one kind or of all. */
const those = <C extends Connector>(
  parts: Pick<Kind<C>, "kind" | "aliases" | "text"> & { readonly is: (connector: Connector) => boolean },
): Kind =>
  of<C>({
    ...parts,
    list: async (auth, { secrets }, signal) => {
      const all = await auth["connectors.list"]({ secrets }, signal);
      return sorted(all.filter(parts.is), id) as C[];
    },
    id,
    remove: (auth, { kind, metadata: { name } }, signal) => auth["connectors.delete"]({ kind, name }, signal),
    removed,
  });

const teams = ({ spec }: GithubConnector): string =>
  spec.teams_to_logins
    .map(({ organization, team, logins }) => `@${organization}/${team}: ${list(logins)}`)
    .join("; ");
const claims = ({ spec }: OidcConnector): string =>
  spec.claims_to_roles.map(({ claim, value, roles }) => `${claim}=${value}: ${list(roles)}`).join("; ");
const attributes = ({ spec }: SamlConnector): string =>
  spec.attributes_to_roles.map(({ name, value, roles }) => `${name}=${value}: ${list(roles)}`).join("; ");
const mapping = (one: Connector): string =>
  one.kind === "github" ? teams(one) : one.kind === "oidc" ? claims(one) : attributes(one);

export const connectors: readonly Kind[] = [
  those<Connector>({
    kind: "connectors",
    aliases: ["connector", "auth_connector", "auth_connectors"],
    is: () => true,
    text: (found) =>
      table(
        ["Type", "Name", "Mapping"],
        found.map((one) => [one.kind, one.metadata.name, mapping(one)]),
      ),
  }),
  those<GithubConnector>({
    kind: "github",
    aliases: [],
    is: ({ kind }) => kind === "github",
    text: (found) =>
      table(
        ["Name", "Teams To Logins"],
        found.map((one) => [one.metadata.name, teams(one)]),
      ),
  }),
  those<OidcConnector>({
    kind: "oidc",
    aliases: [],
    is: ({ kind }) => kind === "oidc",
    text: (found) =>
      table(
        ["Name", "Issuer URL", "Claims To Roles"],
        found.map((one) => [one.metadata.name, one.spec.issuer_url, claims(one)]),
      ),
  }),
  those<SamlConnector>({
    kind: "saml",
    aliases: [],
    is: ({ kind }) => kind === "saml",
    text: (found) =>
      table(
        ["Name", "SSO URL", "Attributes To Roles"],
        found.map((one) => [one.metadata.name, one.spec.sso ?? "", attributes(one)]),
      ),
  }),
];
