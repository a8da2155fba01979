import { answerUrl, loopbackKey } from "#contract/loopback";
import {
  ConsoleAnswer,
  ConsoleChallengeRequest,
  ConsoleLoginRequest,
  KeyChallengeRequest,
  KeyLoginRequest,
  KeyPasswordRequest,
  KeySignupRequest,
} from "#contract/web";
import { seal } from "#core/seal";
import { type App, checkCsrf, clientAddress, parse, type Request } from "#net";
import { certsAnswer, milliseconds } from "./certs.ts";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";
import { authenticate, openSession } from "./session.ts";

/** What pages ask for security keys, and `tsh` for a page that does (AUTH-38). */
export function keyRoutes(api: App, { auth, clock }: WebApiOptions, { logins }: AddressLimits): void {
  /** Only pages of ours ask this; the answer is the client's address. */
  const fromPage = (request: Request): { client_addr: string } => {
    checkCsrf(request);
    logins.take(request.raw.socket);
    return { client_addr: clientAddress(request.raw.socket) };
  };

  api.post("/webauthn/signup", (request) => {
    fromPage(request);
    const { invite_token } = parse(KeySignupRequest, request.body);
    return auth["signups.challenge"]({ token: invite_token });
  });

  api.post("/webauthn/challenge", (request) => {
    const from = fromPage(request);
    const { user, pass } = parse(KeyChallengeRequest, request.body);
    return auth["logins.challenge"]({ user, password: pass, purpose: "web", ...from });
  });

  api.post("/webauthn/sessions", async (request, reply) => {
    const from = fromPage(request);
    const { user, webauthn } = parse(KeyLoginRequest, request.body);
    const session = await auth["logins.web"]({ user, password: "", webauthn, ...from });
    return openSession(session, reply, clock);
  });

  api.post("/webauthn/password", async (request) => {
    const from = fromPage(request);
    const { user } = await authenticate(request, auth);
    const { old_password } = parse(KeyPasswordRequest, request.body);
    return auth["logins.challenge"]({
      user: user.metadata.name,
      password: old_password,
      purpose: "password",
      ...from,
    });
  });

  api.post("/webauthn/console", (request) => {
    logins.take(request.raw.socket);
    const { tls_pub_key, ttl, ...asked } = parse(ConsoleLoginRequest, request.body);
    return auth["console_logins.create"]({
      ...asked,
      ...(tls_pub_key && { tls_pub_key }),
      ttl: milliseconds(ttl),
    });
  });

  api.get<OfConsole>("/webauthn/console/:id", (request) => {
    logins.take(request.raw.socket);
    return auth["console_logins.get"](request.params);
  });

  api.post<OfConsole>("/webauthn/console/:id/challenge", (request) => {
    const from = fromPage(request);
    const { pass } = parse(ConsoleChallengeRequest, request.body);
    return auth["console_logins.challenge"]({ ...request.params, password: pass, ...from });
  });

  api.post<OfConsole>("/webauthn/console/:id", async (request) => {
    const from = fromPage(request);
    const { webauthn } = parse(ConsoleAnswer, request.body);
    const { certs, redirect_url } = await auth["console_logins.complete"]({
      ...request.params,
      webauthn,
      ...from,
    });
    return { redirect_url: answerUrl(redirect_url, seal(certsAnswer(certs), loopbackKey(redirect_url))) };
  });
}

interface OfConsole {
  Params: { id: string };
}
