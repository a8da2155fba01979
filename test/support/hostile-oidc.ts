import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Json = Record<string, unknown>;

/** An OpenID Connect provider that says whatever it is told to. As it is made, all is as it should be. */
export interface HostileOidc extends AsyncDisposable {
  readonly issuer: string;
  readonly client: { readonly client_id: string; readonly client_secret: string };
  /** Changes what it says of itself. */
  metadata: (right: Json) => Json;
  /** Changes the ID token before it is signed. */
  claims: (right: Json) => Json;
  /** Changes its header. */
  header: (right: Json) => Json;
  /** Signs `text` in place of its own key. */
  signature: ((text: string) => Buffer) | undefined;
  /** Changes what userinfo answers. */
  userinfo: (right: Json) => Json;
  /** Answers a request itself; true when it did. */
  take: (path: string, response: ServerResponse) => boolean;
  /** From now on it signs with another key, and knows the old one no more. */
  rotate(): void;
  /** The key it signs with. */
  readonly key: KeyObject;
}

const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

export async function startHostileOidc(clock: { now(): number }): Promise<HostileOidc> {
  let key = newKey();
  let kid = 1;
  /** What the last visitor was sent with. */
  let nonce = "";
  const same = (value: Json): Json => value;

  const idToken = (): string => {
    const now = Math.floor(clock.now() / 1000);
    const header = own.header({ alg: "ES256", kid: `${kid}` });
    const right = {
      iss: own.issuer,
      aud: own.client.client_id,
      sub: "1234",
      iat: now,
      exp: now + 300,
      nonce,
    };
    const payload = own.claims({ ...right, email: "alice@example.com", email_verified: true });
    const text = [header, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const made =
      own.signature?.(text) ?? sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
    return `${text}.${made.toString("base64url")}`;
  };
  const answer = (path: string): Json | undefined => {
    const at = (end: string): string => own.issuer + end;
    switch (path) {
      case "/.well-known/openid-configuration":
        return own.metadata({
          issuer: own.issuer,
          authorization_endpoint: at("/authorize"),
          token_endpoint: at("/token"),
          userinfo_endpoint: at("/userinfo"),
          jwks_uri: at("/jwks"),
          response_types_supported: ["code"],
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: ["ES256", "HS256", "none"],
        });
      case "/jwks": {
        const { kty, crv, x, y } = key.export({ format: "jwk" });
        return { keys: [{ kty, crv, x, y, kid: `${kid}`, alg: "ES256", use: "sig" }] };
      }
      case "/token":
        return { access_token: "an access token", token_type: "Bearer", expires_in: 60, id_token: idToken() };
      case "/userinfo":
        return own.userinfo({ sub: "1234", groups: ["dev"] });
      default:
        return undefined;
    }
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", own.issuer);
    if (own.take(url.pathname, response)) return;
    if (url.pathname === "/authorize") {
      nonce = url.searchParams.get("nonce") ?? "";
      const back = new URL(url.searchParams.get("redirect_uri") ?? "");
      back.search = new URLSearchParams({
        code: "a code",
        state: url.searchParams.get("state") ?? "",
      }).toString();
      response.writeHead(302, { location: back.href }).end();
      return;
    }
    const body = answer(url.pathname);
    response
      .writeHead(body ? 200 : 404, { "content-type": "application/json" })
      .end(JSON.stringify(body ?? {}));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const own: HostileOidc = {
    issuer: `http://localhost:${(server.address() as AddressInfo).port}`,
    client: { client_id: "teleport", client_secret: "planted" },
    metadata: same,
    claims: same,
    header: same,
    signature: undefined,
    userinfo: same,
    take: () => false,
    rotate() {
      key = newKey();
      kid++;
    },
    get key() {
      return key;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return own;
}
