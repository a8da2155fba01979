/** For tests of what stands on SSH: connections and transports in memory, without crypto, sockets or a login. */
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import type { Connection } from "../connection/channel.ts";
import { type ConnectionOptions, openConnection } from "../connection/connection.ts";
import { packetPair, type TestTransport } from "./packet-pair.ts";

export interface ConnectionPair {
  readonly client: Connection;
  readonly server: Connection;
  /** Below the connections: what was sent, and ways to break it. */
  readonly ends: { readonly client: TestTransport; readonly server: TestTransport };
}

/** Two connections that talk to each other, as after a login. Time stands still unless a clock is given. */
export function connectionPair(options: Partial<ConnectionOptions> = {}): ConnectionPair {
  const ends = packetPair();
  const all = { clock: new TestClock(), log: silentLog, ...options };
  return { client: openConnection(ends.client, all), server: openConnection(ends.server, all), ends };
}
