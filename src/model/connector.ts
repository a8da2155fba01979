import { z } from "zod";
import { Metadata } from "./resource.ts";

/** One value or several: files of the commercial edition have both. */
const some = z.union([z.string().transform((one) => [one]), z.array(z.string())]);

/** What GitHub says of a person's teams, turned into what the person may do (AUTH-63). `logins` are names on the machines. */
const TeamMapping = z.strictObject({
  organization: z.string().min(1),
  team: z.string().min(1),
  logins: z.array(z.string()).default([]),
  kubernetes_groups: z.array(z.string()).optional(),
  /** Roles of who matches; when no entry that matches names any, it is `admin`. */
  roles: z.array(z.string()).optional(),
});

/** GitHub as the place where people log in (AUTH-60..67, RES-31). */
export const GithubConnector = z.strictObject({
  kind: z.literal("github"),
  version: z.literal("v3"),
  metadata: Metadata,
  spec: z.strictObject({
    client_id: z.string().min(1),
    /** Kept from whoever does not ask for secrets, and then absent. */
    client_secret: z.string().optional(),
    redirect_url: z.url(),
    display: z.string().optional(),
    teams_to_logins: z.array(TeamMapping).default([]),
  }),
});
export type GithubConnector = z.output<typeof GithubConnector>;

/** An OpenID Connect provider (AUTH-70..72). */
export const OidcConnector = z.strictObject({
  kind: z.literal("oidc"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject({
    issuer_url: z.url(),
    client_id: z.string().min(1),
    client_secret: z.string().optional(),
    redirect_url: z.url(),
    display: z.string().optional(),
    acr_values: z.string().optional(),
    provider: z.string().optional(),
    /** Beside `openid` and `email`. */
    scope: z.array(z.string()).optional(),
    /** `value`: exact, `*` as in globs, or `^regex$` whose groups stand as `$1` in `roles`. */
    claims_to_roles: z
      .array(z.strictObject({ claim: z.string().min(1), value: z.string(), roles: some }))
      .default([]),
    google_service_account_uri: z.string().optional(),
    google_admin_email: z.string().optional(),
  }),
});
export type OidcConnector = z.output<typeof OidcConnector>;

/** A SAML provider: kept, listed and removed; nobody logs in by one. */
export const SamlConnector = z.strictObject({
  kind: z.literal("saml"),
  version: z.literal("v2"),
  metadata: Metadata,
  spec: z.strictObject({
    acs: z.string(),
    display: z.string().optional(),
    provider: z.string().optional(),
    audience: z.string().optional(),
    service_provider_issuer: z.string().optional(),
    entity_descriptor: z.string().optional(),
    entity_descriptor_url: z.string().optional(),
    issuer: z.string().optional(),
    sso: z.string().optional(),
    cert: z.string().optional(),
    attributes_to_roles: z
      .array(z.strictObject({ name: z.string().min(1), value: z.string(), roles: some }))
      .default([]),
    signing_key_pair: z.strictObject({ private_key: z.string().optional(), cert: z.string() }).optional(),
  }),
});
export type SamlConnector = z.output<typeof SamlConnector>;

/** Somewhere else than here where people log in. */
export const Connector = z.discriminatedUnion("kind", [GithubConnector, OidcConnector, SamlConnector]);
export type Connector = z.output<typeof Connector>;
export type ConnectorKind = Connector["kind"];

/** The same connector without what only the provider and we may know. */
export function withoutSecrets(connector: Connector): Connector {
  if (connector.kind === "saml") {
    const { signing_key_pair: pair, ...spec } = connector.spec;
    return { ...connector, spec: { ...spec, ...(pair && { signing_key_pair: { cert: pair.cert } }) } };
  }
  const { client_secret: _, ...spec } = connector.spec;
  return { ...connector, spec } as Connector;
}
