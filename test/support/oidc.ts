import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import {
  createServer as createPlain,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

/** An OpenID Connect provider, by the library that passed the conformance tests. */
export interface OidcProvider extends AsyncDisposable {
  readonly issuer: string;
  /** Who logs in there next, and what it tells of them. */
  account: { sub: string; [claim: string]: unknown };
  /** How they are said to have proved themselves. */
  acr: string | undefined;
  /** Ask on a page before going on. */
  asks: boolean;
  readonly client: { readonly client_id: string; readonly client_secret: string };
}

export interface OidcOptions {
  readonly redirectUrl: string;
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Tell the claims in the ID token, or at userinfo only (the default, as the specification has it). */
  readonly inIdToken?: boolean;
}

/** Made once: it takes a while. */
let key: object | undefined;

export async function startOidc({ redirectUrl, tls, inIdToken = false }: OidcOptions): Promise<OidcProvider> {
  const client = { client_id: "teleport", client_secret: "a secret of the provider & ours" };
  let listener: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  const through = (request: IncomingMessage, response: ServerResponse): void => listener(request, response);
  const server: Server = tls ? createServer(tls, through) : createPlain(through);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `${tls ? "https" : "http"}://localhost:${(server.address() as AddressInfo).port}`;
  key ??= generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  const provider = new Provider(issuer, {
    clients: [{ ...client, redirect_uris: [redirectUrl], grant_types: ["authorization_code"] }],
    jwks: { keys: [{ ...key, kid: "one", use: "sig" }] },
    cookies: { keys: ["for cookies of a test"] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    scopes: ["openid", "email", "groups"],
    claims: { openid: ["sub", "acr"], email: ["email", "email_verified"], groups: ["groups", "department"] },
    conformIdTokenClaims: !inIdToken,
    acrValues: ["urn:gold"],
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600 },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ ...own.account }) }),
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({
        accountId: oidc.session?.accountId ?? "",
        clientId: oidc.client?.clientId ?? "",
      });
      grant.addOIDCScope("openid email groups");
      await grant.save();
      return grant;
    },
  });
  const serve = provider.callback();
  listener = (request, response) => {
    const [path = "", query] = (request.url ?? "").split("?");
    if (!path.startsWith("/interaction/")) return void serve(request, response);
    if (own.asks && query !== "go") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      return void response.end(`<title>OIDC</title><h1>Who are you?</h1><a href="${path}?go">Continue</a>`);
    }
    const login = { accountId: own.account.sub, ...(own.acr && { acr: own.acr }) };
    provider
      .interactionFinished(request, response, { login })
      .catch((error: unknown) => response.writeHead(500).end(String(error)));
  };
  const own: OidcProvider = {
    issuer,
    account: { sub: "1234", email: "alice@example.com", email_verified: true, groups: ["dev"] },
    acr: undefined,
    asks: false,
    client,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return own;
}
