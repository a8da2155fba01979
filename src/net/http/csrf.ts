import { timingSafeEqual } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Fault } from "#core/errors";
import type { Random } from "#core/random";

const cookie = "grv_csrf";
const shape = /^[0-9a-f]{64}$/;

/** The token of this browser, for a page to send back; a browser without one gets one in a cookie. */
export function csrfToken(request: FastifyRequest, reply: FastifyReply, random: Random): string {
  const held = heldCsrfToken(request);
  if (held !== undefined) return held;
  const token = Buffer.from(random.bytes(32)).toString("hex");
  // Lax, not Strict: a login through an identity provider comes back from another site and is bound to this cookie.
  reply.setCookie(cookie, token, { path: "/", httpOnly: true, secure: true, sameSite: "lax" });
  return token;
}

/** The token that this browser has in its cookie, if it has one. */
export function heldCsrfToken({ cookies }: Pick<FastifyRequest, "cookies">): string | undefined {
  const held = cookies[cookie];
  return held !== undefined && shape.test(held) ? held : undefined;
}

/** Throws `access_denied` unless the request carries its cookie's token in the header too, which no other site can read. */
export function checkCsrf({ cookies, headers }: FastifyRequest): void {
  const held = cookies[cookie] ?? "";
  const sent = headers["x-csrf-token"];
  if (typeof sent === "string" && shape.test(held) && shape.test(sent)) {
    if (timingSafeEqual(Buffer.from(held), Buffer.from(sent))) return;
  }
  throw new Fault("access_denied", "this page is out of date; reload it and try again");
}
