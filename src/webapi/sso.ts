import type { SsoFinished } from "#contract/auth";
import { answerUrl, loopbackKey } from "#contract/loopback";
import { returnPath } from "#contract/return-path";
import { type BearerSession, type SsoLogin, SsoLoginRequest, type SsoRefusal } from "#contract/web";
import { Fault } from "#core/errors";
import { seal } from "#core/seal";
import { type App, checkCsrf, clientAddress, csrfToken, heldCsrfToken, parse } from "#net";
import { certsAnswer, milliseconds } from "./certs.ts";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";
import { claimSession, openSessionOnTheWay } from "./session.ts";

/** Logging in by an identity provider, for browsers and for tsh (WEB-30, WEB-31). */
export function ssoRoutes(
  api: App,
  { auth, clock, random, log }: WebApiOptions,
  { logins }: AddressLimits,
): void {
  for (const kind of ["github", "oidc"] as const) {
    api.get<{ Querystring: { connector_id?: unknown; redirect_url?: unknown } }>(
      `/${kind}/login/web`,
      async (request, reply) => {
        try {
          logins.take(request.raw.socket);
          const { connector_id: connector, redirect_url: asked } = request.query;
          const { redirect_url } = await auth["sso.start"]({
            kind,
            ...(typeof connector === "string" && connector !== "" && { connector }),
            flow: {
              type: "web",
              redirect_url: (typeof asked === "string" ? returnPath(asked) : undefined) ?? "/web",
              csrf_token: csrfToken(request, reply, random),
            },
          });
          return reply.redirect(redirect_url);
        } catch (err) {
          return reply.redirect(failure(err));
        }
      },
    );

    api.post(`/${kind}/login/console`, async (request): Promise<SsoLogin> => {
      logins.take(request.raw.socket);
      const { connector_id, redirect_url, pub_key, tls_pub_key, ttl, compatibility } = parse(
        SsoLoginRequest,
        request.body,
      );
      loopbackKey(redirect_url); // or it throws
      return auth["sso.start"]({
        kind,
        ...(connector_id && { connector: connector_id }),
        flow: {
          type: "console",
          redirect_url,
          pub_key,
          ...(tls_pub_key && { tls_pub_key }),
          ttl: milliseconds(ttl),
          compatibility,
        },
      });
    });

    api.get(`/${kind}/callback`, async (request, reply) => {
      try {
        logins.take(request.raw.socket);
        const done = await auth["sso.finish"]({
          kind,
          query: request.raw.url?.split("?")[1] ?? "",
          csrf_token: heldCsrfToken(request) ?? "",
          client_addr: clientAddress(request.raw.socket),
        });
        if (done.type === "web") openSessionOnTheWay(done.session, reply, clock);
        return reply.redirect(wayOn(done));
      } catch (err) {
        if (!(err instanceof Fault)) log.error("a login came to no end", { error: String(err) });
        return reply.redirect(failure(err));
      }
    });
  }

  api.post("/sessions/sso", async (request, reply): Promise<BearerSession> => {
    checkCsrf(request);
    logins.take(request.raw.socket);
    return claimSession(request, reply, auth, clock);
  });
}

/** Where the browser goes after the callback. */
function wayOn(done: SsoFinished): string {
  const { redirect_url } = done;
  switch (done.type) {
    case "web":
      return `/web/sso?redirect_uri=${encodeURIComponent(returnPath(redirect_url) ?? "/web")}`;
    case "console":
      return answerUrl(redirect_url, seal(certsAnswer(done.certs), loopbackKey(redirect_url)));
    case "refused": {
      if (done.flow === "web") return failurePage(done.error);
      const refusal: SsoRefusal = { error: done.error };
      return answerUrl(redirect_url, seal(refusal, loopbackKey(redirect_url)));
    }
  }
}

const failure = (err: unknown): string =>
  failurePage(err instanceof Fault ? err.message : "something went wrong in the server; its log says what");

const failurePage = (details: string): string =>
  `/web/msg/error/login_failed?details=${encodeURIComponent(details)}`;
