import { createServer, type Socket } from "node:net";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { type Address, formatAddress } from "./address.ts";
import type { Gate, Guest } from "./gate.ts";
import { listen } from "./listen.ts";

/** The two ends of a connection; IPv4 peers of a dual-stack listener as IPv4. */
export interface Ends {
  readonly remote: Address;
  readonly local: Address;
}

/**
 * A TCP door as a service: hands each connection that `gate` lets in to `handle`, which never rejects, and at the end
 * waits for those that are being served. `handle` tells the guest how the login went.
 */
export function door(options: {
  readonly name: string;
  readonly address: Address;
  /** The configuration key that chooses another address. */
  readonly setting: string;
  readonly gate: Gate;
  readonly handle: (socket: Socket, ends: Ends, signal: AbortSignal, guest: Guest) => Promise<void>;
  /** Told of the address that was bound: port 0 has become a real one. */
  readonly onListening?: (address: Address) => void;
  readonly log: Log;
}): Service {
  const { log, gate } = options;
  return {
    name: options.name,
    async run(signal, ready) {
      const live = new Set<Promise<void>>();
      const server = createServer({ noDelay: true, allowHalfOpen: true });
      server.on("connection", (socket) => {
        // Without a listener an error would end the process; the one who serves the socket hears of it by itself.
        socket.on("error", () => {});
        const remote = end(socket.remoteAddress, socket.remotePort);
        const entry = gate.enter(remote.host);
        if (typeof entry === "string") {
          // A line before the version line is the one thing that may be said here (RFC 4253 §4.2).
          socket.write("Too many connections; try again later\r\n");
          socket.destroySoon();
          return;
        }
        socket.once("close", entry.leave);
        const local = end(socket.localAddress, socket.localPort);
        const done = options
          .handle(socket, { remote, local }, signal, entry.guest)
          .finally(() => live.delete(done));
        live.add(done);
      });
      const bound = await listen(server, options.address, options.setting);
      server.on("error", (err) => log.error("the listener failed", { error: err.message }));
      log.info("listening", { address: formatAddress(bound) });
      options.onListening?.(bound);
      ready();
      await aborted(signal);
      server.close();
      await Promise.all(live);
    },
  };
}

const end = (host: string | undefined, port: number | undefined): Address => ({
  host: host?.replace(/^::ffff:(?=\d+\.)/, "") ?? "unknown",
  port: port ?? 0,
});

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
