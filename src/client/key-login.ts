import { isIP } from "node:net";
import { ConsoleLoginBegun, type ConsoleLoginRequest, type PingAnswer, webPaths } from "#contract/web";
import { Fault } from "#core/errors";
import { formatAddress } from "#net";
import { callWeb, type WebClientOptions } from "./web.ts";

/**
 * Whether a browser would ask a security key for a page of this proxy, before one is opened (AUTH-38). Throws a sentence that says
 * what is missing: a host name that the cluster's keys are for, or a certificate that browsers trust.
 */
export async function checkKeyPage(
  web: WebClientOptions,
  { u2f }: PingAnswer["auth"],
  signal: AbortSignal,
): Promise<void> {
  const app = URL.parse(u2f?.app_id ?? "");
  if (!app) throw new Fault("protocol", "the proxy does not say for which host its security keys are");
  const host = web.host.toLowerCase();
  if (isIP(host) !== 0 || (host !== app.hostname && !host.endsWith(`.${app.hostname}`)))
    throw new Fault(
      "bad_parameter",
      `people log in here with a security key, and those of this cluster are for ${app.hostname}, not for ${host}: use --proxy=${app.host}`,
    );
  // What verified the proxy for us is not what the browser goes by.
  if (!web.insecure && web.extraAuthorities.length === 0) return;
  try {
    await callWeb({ ...web, insecure: false, extraAuthorities: [] }, "GET", `/v1${webPaths.find}`, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new Fault(
      "unreachable",
      `people log in here with a security key, in the browser, which has to trust the proxy's certificate; that of ${formatAddress(web)} does not verify, so install one that does (for an authority of your own also name it by SSL_CERT_FILE)`,
      { cause },
    );
  }
}

/** Begins a login on a page of the proxy, and answers the page's address. */
export async function beginKeyLogin(
  web: WebClientOptions,
  request: ConsoleLoginRequest,
  signal: AbortSignal,
): Promise<string> {
  const answer = await callWeb(web, "POST", `/v1${webPaths.consoleLogins}`, signal, request);
  const begun = ConsoleLoginBegun.safeParse(answer);
  if (!begun.success)
    throw new Fault("protocol", "the proxy's answer makes no sense to this tsh; is it of another version?");
  return `https://${formatAddress(web)}/web/login/tsh/${begun.data.id}`;
}
