import { calculatePKCECodeChallenge } from "oauth4webapi";
import { z } from "zod";
import { Fault } from "#core/errors";
import type { GithubConnector } from "#model";
import { jsonOf, type Outgoing } from "./http.ts";
import { mapTeams, type Team } from "./mapping.ts";
import type { External } from "./person.ts";

/** Where GitHub is: `https://github.com` and `https://api.github.com`, or an Enterprise Server's (AUTH-68). No slash at the end. */
export interface GithubAddresses {
  readonly web: string;
  readonly api: string;
}

export const githubCom: GithubAddresses = { web: "https://github.com", api: "https://api.github.com" };

/** As many pages of teams are read, and no more (AUTH-62). */
const mostPages = 99;

/** Where the browser is sent to log in (AUTH-61). */
export async function githubAuthorizeUrl(
  { spec }: GithubConnector,
  at: GithubAddresses,
  { state, verifier }: { readonly state: string; readonly verifier: string },
): Promise<string> {
  const url = new URL(`${at.web}/login/oauth/authorize`);
  url.search = new URLSearchParams({
    client_id: spec.client_id,
    redirect_uri: spec.redirect_url,
    scope: "read:org",
    state,
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  }).toString();
  return url.href;
}

/** Who came back with `code`, by what GitHub says of the person and of the teams it shows us (AUTH-62, AUTH-63). */
export async function githubPerson(
  connector: GithubConnector,
  at: GithubAddresses,
  { code, verifier }: { readonly code: string; readonly verifier: string },
  ask: Outgoing,
): Promise<External> {
  const token = await accessToken(connector, at, code, verifier, ask);
  const api = async (url: string): Promise<Response> =>
    ask(url, {
      headers: {
        authorization: `Bearer ${token}`,
        accept: "application/vnd.github+json",
        "user-agent": "teleport",
        "x-github-api-version": "2022-11-28",
      },
    });
  const user = understood(User, await jsonOf(await api(`${at.api}/user`), "GitHub's /user"));
  const teams: Team[] = [];
  let url: string | undefined = `${at.api}/user/teams?per_page=100`;
  for (let page = 0; url !== undefined && page < mostPages; page++) {
    const response: Response = await api(url);
    const found = understood(Teams, await jsonOf(response, "GitHub's /user/teams"));
    teams.push(...found.map(({ slug, organization }) => ({ organization: organization.login, team: slug })));
    url = nextPage(response.headers.get("link"), at.api);
  }
  return { name: user.login, identity: user.login, ...mapTeams(connector, user.login, teams) };
}

async function accessToken(
  { spec }: GithubConnector,
  at: GithubAddresses,
  code: string,
  verifier: string,
  ask: Outgoing,
): Promise<string> {
  const response = await ask(`${at.web}/login/oauth/access_token`, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({
      client_id: spec.client_id,
      client_secret: spec.client_secret ?? "",
      code,
      redirect_uri: spec.redirect_url,
      code_verifier: verifier,
    }).toString(),
  });
  const answer = understood(Token, await jsonOf(response, "GitHub's access_token"));
  // GitHub refuses with status 200.
  if (answer.error !== undefined || answer.access_token === undefined)
    throw new Fault("access_denied", "GitHub did not accept the login; begin it anew", {
      cause: new Error(`${answer.error ?? "no access_token"}: ${answer.error_description ?? ""}`),
    });
  return answer.access_token;
}

const Token = z.object({
  access_token: z
    .string()
    .regex(/^[\x21-\x7e]{1,1024}$/)
    .optional(),
  error: z.string().optional(),
  error_description: z.string().optional(),
});
const User = z.object({ login: z.string().min(1) });
const Teams = z.array(z.object({ slug: z.string(), organization: z.object({ login: z.string() }) }));

/** RFC 8288 §3: the target of `rel="next"`. It gets our token, so one that leads elsewhere is none. */
function nextPage(link: string | null, api: string): string | undefined {
  const next = /<([^<>]*)>[^,<]*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  if (next === undefined) return undefined;
  if (!URL.canParse(next) || new URL(next).origin !== new URL(api).origin)
    throw new Fault("unreachable", "GitHub's next page of teams lies on another host");
  return next;
}

function understood<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Fault("unreachable", "GitHub's answer makes no sense", { cause: parsed.error });
}
