import type { FastifyReply } from "fastify";

/** Pages load from us alone: no inline script or style, no eval, no frame, no form to elsewhere (WEB-05). */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'self'",
  "base-uri 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const headers = {
  "cache-control": "no-cache, no-store, must-revalidate",
  pragma: "no-cache",
  expires: "0",
  "content-security-policy": contentSecurityPolicy,
  "x-frame-options": "SAMEORIGIN",
  "x-content-type-options": "nosniff",
  // The filter this header once steered was itself a hole; 0 turns it off where it still exists.
  "x-xss-protection": "0",
  "strict-transport-security": "max-age=31536000",
  // Addresses of sign-up pages are secrets.
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
} as const;

/** What every answer carries; a handler may set its own caching over it. */
export function securityHeaders(reply: FastifyReply): void {
  reply.headers(headers);
}
