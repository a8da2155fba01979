import type { WebSession } from "#contract/auth";
import { type BearerSession, webPaths } from "#contract/web";
import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { clientAddress, type Reply, type Request } from "#net";
import type { WebAuth } from "./options.ts";

const cookie = "session";
// Strict: our pages make every call themselves, so no other site's link ever needs to carry the cookie.
const attributes = { path: "/", httpOnly: true, secure: true, sameSite: "strict" } as const;

/** Both halves of a web session: the cookie's user and id, and the Authorization header's bearer token (WEB-03). */
export interface Credentials {
  readonly user: string;
  readonly id: string;
  readonly bearer: string;
  readonly client_addr: string;
}

/** Throws `access_denied` unless both halves are there and have their form. Auth decides whether they are good. */
export function credentials(request: Request): Credentials {
  const bearer = /^Bearer ([0-9a-f]{32})$/i.exec(request.headers.authorization ?? "")?.[1];
  const held = decode(request.cookies[cookie] ?? "");
  if (!held || bearer === undefined) throw new Fault("access_denied", "sign in first");
  return { ...held, bearer, client_addr: clientAddress(request.raw.socket) };
}

/** The live session of a request. Asks auth each time: a logout or a lock holds from that moment on. */
export async function authenticate(
  request: Request,
  auth: Pick<WebAuth, "web_sessions.get">,
): ReturnType<WebAuth["web_sessions.get"]> {
  return auth["web_sessions.get"](credentials(request)).catch(ended);
}

/** To auth a session that is gone is `not_found`; to a browser it is a session without rights. */
export function ended(error: unknown): never {
  if (Fault.is(error, "not_found")) {
    throw new Fault("access_denied", "your session has ended; sign in again", { cause: error });
  }
  throw error;
}

/** The page that a login by an identity provider ends on asks for the header's half, which a redirect cannot carry. */
const claim = { ...attributes, path: webPaths.sso } as const;
const claimCookie = "sso_bearer";
const claimLife = 60; // seconds

/** Gives the browser both halves while it is sent on: `claimSession` takes up the second. */
export function openSessionOnTheWay(session: WebSession, reply: Reply, clock: Clock): void {
  openSession(session, reply, clock);
  reply.setCookie(claimCookie, session.bearer, { ...claim, maxAge: claimLife });
}

/** The header's half of the session that this browser was given on its way here. Throws `access_denied` without one. */
export async function claimSession(
  request: Request,
  reply: Reply,
  auth: Pick<WebAuth, "web_sessions.get">,
  clock: Clock,
): Promise<BearerSession> {
  const bearer = request.cookies[claimCookie] ?? "";
  const held = decode(request.cookies[cookie] ?? "");
  reply.clearCookie(claimCookie, claim);
  if (!held || !/^[0-9a-f]{32}$/.test(bearer)) throw new Fault("access_denied", "sign in first");
  const { bearer_expires } = await auth["web_sessions.get"]({ ...held, bearer }).catch(ended);
  return bearerSession(bearer, bearer_expires, clock);
}

/** Gives the browser both halves: the cookie, and the rest as the answer. */
export function openSession(session: WebSession, reply: Reply, clock: Clock): BearerSession {
  const value = Buffer.from(JSON.stringify({ user: session.user, sid: session.id })).toString("hex");
  reply.setCookie(cookie, value, attributes);
  return bearerSession(session.bearer, session.bearer_expires, clock);
}

const bearerSession = (token: string, expires: Millis, clock: Clock): BearerSession => ({
  type: "bearer",
  token,
  expires_in: Math.max(0, Math.floor((expires - clock.now()) / 1000)),
});

export const closeSession = (reply: Reply): void => void reply.clearCookie(cookie, attributes);

/** Hex of `{"user","sid"}`. */
function decode(hex: string): { user: string; id: string } | undefined {
  if (!/^(?:[0-9a-f]{2}){1,1024}$/.test(hex)) return undefined;
  try {
    const { user, sid } = JSON.parse(Buffer.from(hex, "hex").toString()) as Record<string, unknown>;
    return typeof user === "string" && typeof sid === "string" && /^[0-9a-f]{32}$/.test(sid)
      ? { user, id: sid }
      : undefined;
  } catch {
    return undefined;
  }
}
