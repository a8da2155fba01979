import type { Socket } from "node:net";
import type { Log } from "#core/log";
import { sourceOf } from "./source.ts";

/** Connections that one source may have with a server at a time (CFG-17), by the socket's own address. */
export class ConnectionCap {
  readonly #most: number;
  readonly #log: Log;
  readonly #open = new Map<string, number>();

  constructor(most: number, log: Log) {
    this.#most = most;
    this.#log = log;
  }

  /** Counts a connection until it closes; one too many is destroyed, and the answer is false. */
  admit(socket: Socket): boolean {
    const source = sourceOf(socket.remoteAddress ?? "");
    const count = this.#open.get(source) ?? 0;
    if (count >= this.#most) {
      this.#log.warn("too many connections from one source", { source });
      socket.destroy();
      return false;
    }
    this.#open.set(source, count + 1);
    socket.once("close", () => {
      const left = (this.#open.get(source) ?? 1) - 1;
      if (left > 0) this.#open.set(source, left);
      else this.#open.delete(source);
    });
    return true;
  }
}
