import { z } from "zod";
import { Fault } from "#core/errors";

// What the two ends of a reverse tunnel say to each other (TUN-03), beside SSH itself.

/** Opened by the agent, for a message every keep-alive interval. */
export const heartbeatChannel = "teleport-heartbeat";
/** Opened by the hub, for a connection to something at the agent's end: then `dialRequest` says to what. */
export const transportChannel = "teleport-transport";
export const dialRequest = "teleport-transport-dial";
/** Opened by the hub, which tells by `discoveryRequest` which proxies its cluster has. */
export const discoveryChannel = "teleport-discovery";
export const discoveryRequest = "discovery";
/** Global request of either end: what its cluster says of its authorities. */
export const statementRequest = "authorities@teleport";
/** Global request of either end: nothing new is to be begun here, and the tunnel ends with what runs over it. */
export const leavingRequest = "leaving@teleport";

/** The auth server of the agent's cluster, in place of `host:port`. */
export const remoteAuthServer = "@remote-auth-server";

/** Bytes. */
export const longestStatement = 64 * 1024;

/** It may come to be shown. */
const word = (longest: number) =>
  z
    .string()
    .max(longest)
    .regex(/^[\x21-\x7e]+$/);

const DialRequest = z.object({
  /** `host:port`, port 0 for whatever the host registered, or `remoteAuthServer`. */
  address: word(300),
  /** `ip:port` of who is to be connected. */
  client_addr: z.string().regex(/^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]):\d{1,5}$/),
  /** Their certificate, base64 of the SSH blob. */
  certificate: z
    .string()
    .min(1)
    .max(32 * 1024),
});
export type DialRequest = z.output<typeof DialRequest>;

const Discovery = z.object({ proxies: z.array(word(255)).max(1000) });

export const encodeDial = (request: DialRequest): Uint8Array => Buffer.from(JSON.stringify(request));
/** Throws `protocol`. */
export const decodeDial = (payload: Uint8Array): DialRequest => decode(payload, DialRequest);

/** Host ids. */
export const encodeDiscovery = (proxies: readonly string[]): Uint8Array =>
  Buffer.from(JSON.stringify({ proxies }));
/** Throws `protocol`. */
export const decodeDiscovery = (payload: Uint8Array): readonly string[] => decode(payload, Discovery).proxies;

function decode<S extends z.ZodType>(payload: Uint8Array, schema: S): z.output<S> {
  const parsed = schema.safeParse(json(payload));
  if (!parsed.success)
    throw new Fault("protocol", "the other end of the tunnel asks for something that makes no sense");
  return parsed.data;
}

function json(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString());
  } catch {
    return undefined;
  }
}
