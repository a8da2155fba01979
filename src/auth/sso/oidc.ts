import {
  type AuthorizationServer,
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  type Client,
  ClientSecretBasic,
  ClientSecretPost,
  calculatePKCECodeChallenge,
  clockSkew,
  customFetch,
  discoveryRequest,
  getValidatedIdTokenClaims,
  type IDToken,
  processAuthorizationCodeResponse,
  processDiscoveryResponse,
  processUserInfoResponse,
  type TokenEndpointResponse,
  userInfoRequest,
  validateApplicationLevelSignature,
  validateAuthResponse,
} from "oauth4webapi";
import { type Clock, type Millis, minute, systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import type { OidcConnector } from "#model";
import { asksGoogleForGroups, googleGroups } from "./google.ts";
import type { Outgoing } from "./http.ts";
import { mapClaims, traitsOf } from "./mapping.ts";
import type { External } from "./person.ts";

/** How long a provider's description of itself is believed. */
const remembered: Millis = 10 * minute;

/** What a login request keeps for the answer. */
interface Secrets {
  readonly state: string;
  readonly verifier: string;
  readonly nonce: string;
}

type Claims = Readonly<Record<string, unknown>>;

/** Logins by OpenID Connect: discovery, code flow with PKCE and nonce, checks of the ID token by oauth4webapi (AUTH-72). */
export class Oidc {
  readonly #clock: Clock;
  readonly #ask: Outgoing;
  readonly #found = new Map<string, { server: AuthorizationServer; until: Millis }>();

  constructor(clock: Clock, ask: Outgoing) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /** Where the browser is sent to log in. */
  async authorizeUrl(connector: OidcConnector, { state, verifier, nonce }: Secrets): Promise<string> {
    const { spec } = connector;
    const { authorization_endpoint } = await this.#discover(spec.issuer_url);
    if (authorization_endpoint === undefined || !URL.canParse(authorization_endpoint))
      throw new Fault("unreachable", `${spec.issuer_url} names no authorization_endpoint`);
    const url = new URL(authorization_endpoint);
    // The person's browser is sent there: not to a script, nor to anything else that is no page.
    if (url.protocol !== "https:" && url.origin !== new URL(spec.issuer_url).origin)
      throw new Fault("unreachable", `${url.origin} is no place to log in at: it is not reached by https://`);
    const scopes = new Set(["openid", "email", ...(spec.scope ?? [])]);
    for (const [name, value] of Object.entries({
      response_type: "code",
      client_id: spec.client_id,
      redirect_uri: spec.redirect_url,
      scope: [...scopes].join(" "),
      state,
      nonce,
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      ...(spec.acr_values !== undefined && { acr_values: spec.acr_values }),
    }))
      url.searchParams.set(name, value);
    return url.href;
  }

  /** Who came back with `answer`, the query of the callback. Throws `access_denied`, with what was wrong as its cause. */
  async person(connector: OidcConnector, secrets: Secrets, answer: URLSearchParams): Promise<External> {
    const claims = await this.#claims(connector, secrets, answer);
    checkAcr(connector, claims);
    const { email, sub } = claims;
    if (typeof email !== "string" || email === "")
      throw new Fault(
        "access_denied",
        "the identity provider tells no e-mail address, which is the name of a user here; the connector may need another scope",
      );
    if (claims.email_verified !== true && claims.email_verified !== "true")
      throw new Fault(
        "access_denied",
        `the identity provider does not say that ${JSON.stringify(email)} was verified`,
      );
    return { name: email, identity: String(sub), ...mapClaims(connector, email, traitsOf(claims)) };
  }

  async #claims(connector: OidcConnector, secrets: Secrets, answer: URLSearchParams): Promise<Claims> {
    const { spec } = connector;
    // A copy, since the library keeps keys by it: keys that the provider took back must not be good here any more.
    const server = { ...(await this.#discover(spec.issuer_url)) };
    const client: Client = {
      client_id: spec.client_id,
      // The library goes by the machine's clock; we go by ours.
      [clockSkew]: Math.round((this.#clock.now() - systemClock.now()) / 1000),
    };
    const options = this.#options;
    const secret = spec.client_secret ?? "";
    // Not all servers undo the escapes that RFC 6749 wants in the Basic scheme.
    const authentication = server.token_endpoint_auth_methods_supported?.includes("client_secret_post")
      ? ClientSecretPost(secret)
      : ClientSecretBasic(secret);
    try {
      const parameters = validateAuthResponse(server, client, answer, secrets.state);
      const response = await authorizationCodeGrantRequest(
        server,
        client,
        authentication,
        parameters,
        spec.redirect_url,
        secrets.verifier,
        options,
      );
      const tokens = await processAuthorizationCodeResponse(server, client, response, {
        expectedNonce: secrets.nonce,
        requireIdToken: true,
      });
      // By the provider's keys of now: TLS alone would let whoever answers in its place write what it likes.
      await validateApplicationLevelSignature(server, response, options);
      const own: Claims & { sub: string } = {
        ...(getValidatedIdTokenClaims(tokens) as IDToken),
        ...(await this.#groups(connector, tokens)),
      };
      if (!lacks(connector, own) || server.userinfo_endpoint === undefined) return own;
      const userInfo = await userInfoRequest(server, client, tokens.access_token, options);
      const more = await processUserInfoResponse(server, client, own.sub, userInfo);
      // What is signed counts more.
      return { ...more, ...own };
    } catch (cause) {
      if (cause instanceof Fault) throw cause;
      throw new Fault("access_denied", "the identity provider did not confirm the login; begin it anew", {
        cause,
      });
    }
  }

  async #groups(connector: OidcConnector, tokens: TokenEndpointResponse): Promise<Claims> {
    const email = getValidatedIdTokenClaims(tokens)?.email;
    if (!asksGoogleForGroups(connector) || typeof email !== "string") return {};
    return { groups: await googleGroups(this.#ask, tokens.access_token, email) };
  }

  async #discover(issuer: string): Promise<AuthorizationServer> {
    const known = this.#found.get(issuer);
    if (known && known.until > this.#clock.uptime()) return known.server;
    const url = new URL(issuer);
    try {
      const response = await discoveryRequest(url, { algorithm: "oidc", ...this.#options });
      const server = await processDiscoveryResponse(url, response);
      this.#found.set(issuer, { server, until: this.#clock.uptime() + remembered });
      return server;
    } catch (cause) {
      throw new Fault("unreachable", `${issuer} does not describe itself as an OpenID Connect provider`, {
        cause,
      });
    }
  }

  /** `outgoing` decides itself what may go without TLS. */
  get #options() {
    return {
      [customFetch]: (
        url: string,
        { method, headers, body }: { method?: string; headers?: Record<string, string>; body?: unknown },
      ): Promise<Response> =>
        this.#ask(url, {
          ...(method !== undefined && { method }),
          headers: { ...headers },
          ...(body instanceof URLSearchParams && { body: body.toString() }),
        }),
      [allowInsecureRequests]: true,
    };
  }
}

/** Whether a claim that decides is not in the ID token: some providers keep all but the subject for userinfo. */
const lacks = ({ spec }: OidcConnector, claims: Claims): boolean =>
  ["email", "email_verified", ...spec.claims_to_roles.map(({ claim }) => claim)].some(
    (name) => claims[name] === undefined,
  );

/** How the person proved to be themselves must be what was asked for (AUTH-72). */
function checkAcr({ spec }: OidcConnector, claims: Claims): void {
  if (spec.acr_values === undefined) return;
  let { acr } = claims;
  // NetIQ sends {"values": ["…"]}.
  if (spec.provider === "netiq") {
    const values = (acr as { values?: unknown } | undefined)?.values;
    acr = Array.isArray(values) ? values[0] : undefined;
  }
  if (acr !== spec.acr_values)
    throw new Fault(
      "access_denied",
      `the identity provider did not check you as this cluster asks for it (acr_values ${JSON.stringify(spec.acr_values)})`,
    );
}
