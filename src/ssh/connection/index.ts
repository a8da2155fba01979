export {
  type Channel,
  type ChannelRequest,
  type Connection,
  duplex,
  OpenFailure,
} from "./channel.ts";
export { type ConnectionOptions, openConnection } from "./connection.ts";
