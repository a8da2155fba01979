export type { Channel, Connection } from "./connection/channel.ts";
