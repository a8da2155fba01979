export * from "./address.ts";
export { ConnectionCap } from "./cap.ts";
export { type ChainVerdict, judgeChain } from "./chain.ts";
export * from "./dial.ts";
export { type Door, door, type Ends } from "./door.ts";
export { Gate, type GateOptions, type GateRefusal, type Guest, gateRefusals } from "./gate.ts";

import type { App, AppOptions, Reply, Request } from "./http/app.ts";

export { AddressBuckets, clientAddress } from "./http/clients.ts";
export { checkCsrf, csrfToken, heldCsrfToken } from "./http/csrf.ts";
export { type HttpsDoor, type HttpsListener, listenHttps } from "./http/listen.ts";
export { parse } from "./http/parse.ts";
export { addressesOf, addressesOfAll } from "./lookup.ts";
export { memorySockets } from "./memory-socket.ts";
export { lookAhead } from "./opening.ts";
export type { DialOut, Outbound } from "./outbound.ts";
export { isNearby, readProxyLine } from "./proxy-line.ts";
export { RequestRates } from "./rates.ts";
export { inRanges, sourceOf } from "./source.ts";
export { checkTlsPair, type TlsPair, tlsCiphers, trustedAuthorities } from "./tls.ts";
export type { App, Reply, Request };

/** The HTTP set-up every server of ours shares. Fastify is heavy, so it loads here and not with this door. */
export async function httpApp(options: AppOptions): Promise<App> {
  return (await import("./http/app.ts")).httpApp(options);
}
export * from "./listen.ts";

/** `outbound`: of the daemon only. */
export const outwards = () => import("./outbound.ts");

/** `readSocks`: few programs ever serve SOCKS. */
export const socks = () => import("./socks.ts");
