import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createServer as createPlain,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface GithubTeam {
  readonly organization: string;
  readonly team: string;
}

/** What a test may have it do wrong. */
export interface GithubFaults {
  /** Answers this in place of `/user/teams`. */
  teams?: (request: IncomingMessage, response: ServerResponse) => void;
  /** As above, of `/user`. */
  user?: (request: IncomingMessage, response: ServerResponse) => void;
}

/**
 * A stand-in for GitHub: the web flow for OAuth apps with PKCE, `GET /user` and `GET /user/teams` in pages, with the shapes and
 * refusals that GitHub documents. Whoever visits the authorize page is `user`, and agrees.
 */
export interface Github extends AsyncDisposable {
  /** `https://localhost:1234`; the API is under `/api/v3`, as an Enterprise Server has it. */
  readonly url: string;
  user: string;
  teams: GithubTeam[];
  readonly faults: GithubFaults;
  /** Ask the visitor on a page first. */
  asks: boolean;
  /** Paths of the API that were asked for, with their queries. */
  readonly asked: string[];
  readonly client: { readonly client_id: string; readonly client_secret: string };
}

export async function startGithub(tls?: { readonly key: string; readonly cert: string }): Promise<Github> {
  const client = { client_id: "Iv1.8a61f9b3a7aba766", client_secret: randomBytes(20).toString("hex") };
  const codes = new Map<string, { challenge: string; redirect: string }>();
  const tokens = new Set<string>();
  const asked: string[] = [];

  const authorize = (url: URL, response: ServerResponse): void => {
    const ask = url.searchParams;
    if (ask.get("client_id") !== client.client_id) return void response.writeHead(404).end("Not Found");
    const back = new URL(ask.get("redirect_uri") ?? "");
    back.searchParams.set("state", ask.get("state") ?? "");
    if (ask.get("scope") !== "read:org") throw new Error(`the scope is ${ask.get("scope")}`);
    const code = randomBytes(10).toString("hex");
    codes.set(code, {
      challenge: ask.get("code_challenge") ?? "",
      redirect: ask.get("redirect_uri") ?? "",
    });
    back.searchParams.set("code", code);
    if (!own.asks) return void response.writeHead(302, { location: back.href }).end();
    const no = new URL(back);
    no.searchParams.delete("code");
    no.searchParams.set("error", "access_denied");
    no.searchParams.set("error_description", "The user has denied your application access.");
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    const link = (to: URL, text: string): string =>
      `<a href="${to.href.replaceAll("&", "&amp;")}">${text}</a>`;
    response.end(`<title>GitHub</title><h1>Authorize</h1>${link(back, "Authorize")} ${link(no, "Cancel")}`);
  };

  const exchange = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const form = new URLSearchParams(await text(request));
    const given = codes.get(form.get("code") ?? "");
    codes.delete(form.get("code") ?? "");
    const challenge = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    const isClient =
      form.get("client_id") === client.client_id && form.get("client_secret") === client.client_secret;
    if (!isClient) return json(response, 200, oauthError("incorrect_client_credentials"));
    if (given?.challenge !== challenge) return json(response, 200, oauthError("bad_verification_code"));
    if (given.redirect !== form.get("redirect_uri"))
      return json(response, 200, oauthError("redirect_uri_mismatch"));
    const token = `gho_${randomBytes(18).toString("hex")}`;
    tokens.add(token);
    json(response, 200, { access_token: token, scope: "read:org", token_type: "bearer" });
  };

  const api = async (request: IncomingMessage, url: URL, response: ServerResponse): Promise<void> => {
    asked.push(url.pathname + url.search);
    const [, token = ""] = /^(?:Bearer|token) (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    if (!tokens.has(token)) return json(response, 401, { message: "Bad credentials", documentation_url: "" });
    if (url.pathname === "/api/v3/user") {
      if (own.faults.user) return own.faults.user(request, response);
      return json(response, 200, {
        login: own.user,
        id: 583231,
        type: "User",
        site_admin: false,
        name: null,
      });
    }
    if (url.pathname !== "/api/v3/user/teams") return json(response, 404, { message: "Not Found" });
    if (own.faults.teams) {
      own.faults.teams(request, response);
      return;
    }
    const size = Math.min(Number(url.searchParams.get("per_page") ?? 30), 100);
    const page = Number(url.searchParams.get("page") ?? 1);
    const here = own.teams.slice((page - 1) * size, page * size);
    const last = Math.ceil(own.teams.length / size);
    const at = (to: number): string => `<${own.url}/api/v3/user/teams?per_page=${size}&page=${to}>`;
    const links = [
      ...(page > 1 ? [`${at(page - 1)}; rel="prev"`] : []),
      ...(page < last ? [`${at(page + 1)}; rel="next"`, `${at(last)}; rel="last"`] : []),
    ];
    const teams = here.map(({ organization, team }, i) => ({
      id: i + 1,
      name: team.toUpperCase(),
      slug: team,
      privacy: "closed",
      permission: "pull",
      organization: { login: organization, id: 1 },
    }));
    json(response, 200, teams, links.length > 0 ? { link: links.join(", ") } : {});
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", own.url);
    if (url.pathname === "/favicon.ico") {
      response.writeHead(204).end();
      return;
    }
    if (url.pathname === "/login/oauth/authorize") {
      authorize(url, response);
      return;
    }
    if (url.pathname === "/login/oauth/access_token" && request.method === "POST")
      return exchange(request, response);
    await api(request, url, response);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  };
  const server: Server = tls ? createServer(tls, listener) : createPlain(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const own: Github = {
    url: `${tls ? "https" : "http"}://localhost:${(server.address() as AddressInfo).port}`,
    user: "octocat",
    teams: [],
    faults: {},
    asks: false,
    asked,
    client,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return own;
}

const oauthError = (error: string): object => ({
  error,
  error_description: "The code passed is incorrect or expired.",
  error_uri: "https://docs.github.com/",
});

function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers });
  response.end(JSON.stringify(body));
}

async function text(request: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part as Uint8Array);
  return Buffer.concat(parts).toString();
}
