/** SSH-2 over any byte stream, as client and server. Keys and the rest have doors of their own: `#ssh/keys`, … */
export { type ClientConnection, type ClientOptions, connect } from "./client.ts";
export {
  type Channel,
  type ChannelRequest,
  type Connection,
  duplex,
  OpenFailure,
} from "./connection/channel.ts";
export { type ConnectionLimit, type ConnectionLimits, connectionLimits } from "./connection/limits.ts";
export {
  type Accepted,
  type Algorithms,
  accept,
  type PublicKeyAttempt,
  type RekeyLimits,
  type ServerOptions,
} from "./server.ts";
