import type { IncomingHttpHeaders } from "node:http";

/** The only `X-` headers that mean anything to us. */
const ours = new Set(["x-csrf-token"]);
/** Who a client says it is, or was, without the `X-`. */
const claims = new Set(["forwarded", "remote-user", "true-client-ip", "client-ip", "cf-connecting-ip"]);

/**
 * Takes out every header by which a client could claim to be someone, or to come from somewhere: identity comes from
 * sessions and certificates, the address from the socket. For plain requests and WebSocket upgrades alike.
 */
export function dropClaims(headers: IncomingHttpHeaders): void {
  for (const name of Object.keys(headers)) {
    if ((name.startsWith("x-") && !ours.has(name)) || claims.has(name)) delete headers[name];
  }
}
