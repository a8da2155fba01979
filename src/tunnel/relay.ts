import type { Socket } from "node:net";
import { finished } from "node:stream/promises";
import type { Channel } from "#ssh";

/** Bytes that went each way. */
export interface Carried {
  up: number;
  down: number;
}

/**
 * Carries bytes between a channel and a socket until both directions have ended. Each side's end is passed on alone, so
 * a half-closed connection keeps answering; each side is read only as fast as the other takes. Never rejects: a broken
 * side closes the other.
 */
export async function relay(channel: Channel, socket: Socket): Promise<Carried> {
  const carried: Carried = { up: 0, down: 0 };
  const up = async (): Promise<void> => {
    for await (const chunk of channel) {
      carried.up += chunk.length;
      if (!socket.write(chunk)) await drained(socket);
    }
    socket.end();
  };
  const down = async (): Promise<void> => {
    for await (const chunk of socket as AsyncIterable<Uint8Array>) {
      carried.down += chunk.length;
      await channel.write(chunk);
    }
    await channel.end();
  };
  const broken = (): void => {
    socket.destroy();
    void channel.close();
  };
  const gone = channel.closed.then(() => void socket.destroy());
  await Promise.all([up().catch(broken), down().catch(broken)]);
  await Promise.all([finished(socket).catch(() => {}), channel.close(), gone]);
  return carried;
}

/** Resolves when the socket takes more, rejects when it never will. */
function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.reject(new Error("socket is closed"));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const done = (): void => {
    socket.removeListener("close", failed);
    resolve();
  };
  const failed = (): void => {
    socket.removeListener("drain", done);
    reject(new Error("socket is closed"));
  };
  socket.once("drain", done);
  socket.once("close", failed);
  return promise;
}
