import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Channel, duplex } from "../connection/channel.ts";

/**
 * Joins a channel and a stream until both directions have ended; the end of one direction is passed on and leaves the
 * other alone. Both are closed afterwards. Rejects when one of them broke off.
 */
export async function splice(channel: Channel, stream: Duplex): Promise<void> {
  const side = duplex(channel);
  try {
    // A stream that takes nothing would else be held for good when the connection is gone.
    const { gone: signal } = channel;
    await Promise.all([pipeline(stream, side, { signal }), pipeline(side, stream, { signal })]);
  } finally {
    side.destroy();
    stream.destroy();
  }
}
