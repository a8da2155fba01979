import { SsoLogin, type SsoLoginRequest, webPaths } from "#contract/web";
import { Fault } from "#core/errors";
import { callWeb, type WebClientOptions } from "./web.ts";

/** Begins a login by an identity provider, and answers the address of the page where it asks who one is (WEB-30). */
export async function beginSsoLogin(
  web: WebClientOptions,
  kind: "github" | "oidc",
  request: SsoLoginRequest,
  signal: AbortSignal,
): Promise<string> {
  const answer = await callWeb(web, "POST", `/v1${webPaths.ssoConsole(kind)}`, signal, request);
  const begun = SsoLogin.safeParse(answer);
  // A browser is about to be sent there.
  if (!begun.success || !/^https?:\/\//i.test(begun.data.redirect_url))
    throw new Fault("protocol", "the proxy's answer makes no sense to this tsh; is it of another version?");
  return begun.data.redirect_url;
}
