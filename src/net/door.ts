import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { aborted } from "#core/aborted";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { type Address, formatAddress } from "./address.ts";
import type { Gate, Guest } from "./gate.ts";
import { type Listen, listen } from "./listen.ts";

/** The two ends of a connection; IPv4 peers of a dual-stack listener as IPv4. */
export interface Ends {
  readonly remote: Address;
  readonly local: Address;
}

/** A door that also lets in connections that were not made over TCP. */
export interface Door<S extends Duplex> extends Service {
  /** As if `stream` had come in by TCP. False, and nothing done with it, while the door is shut. */
  admit(stream: S, ends: Ends): boolean;
}

/**
 * A TCP door as a service: hands each connection that `gate` lets in to `handle`, which never rejects, and at the end
 * waits for those that are being served. `handle` tells the guest how the login went.
 */
export function door<S extends Duplex = Socket>(options: {
  readonly name: string;
  readonly address: Address;
  /** The configuration key that chooses another address. */
  readonly setting: string;
  readonly gate: Gate;
  readonly handle: (stream: S | Socket, ends: Ends, signal: AbortSignal, guest: Guest) => Promise<void>;
  /** Told of the address that was bound: port 0 has become a real one. */
  readonly onListening?: (address: Address) => void;
  /** Told of each connection by TCP that was let in. */
  readonly onConnection?: (socket: Socket) => void;
  /** Default: binds the address. */
  readonly listen?: Listen;
  readonly log: Log;
}): Door<S> {
  const { log, gate } = options;
  const live = new Set<Promise<void>>();
  let open: AbortSignal | undefined;

  function serve(stream: S | Socket, ends: Ends, guest: Guest, signal: AbortSignal): void {
    const done = options.handle(stream, ends, signal, guest).finally(() => live.delete(done));
    live.add(done);
  }

  return {
    name: options.name,
    admit(stream, ends) {
      if (open === undefined || open.aborted) return false;
      stream.on("error", () => {});
      const entry = gate.enter(ends.remote.host);
      if (typeof entry === "string") {
        stream.end(tooMany, () => stream.destroy());
        return true;
      }
      stream.once("close", entry.leave);
      serve(stream, ends, entry.guest, open);
      return true;
    },
    async run(signal, ready) {
      open = signal;
      const server = createServer({ noDelay: true, allowHalfOpen: true });
      server.on("connection", (socket) => {
        // Without a listener an error would end the process; the one who serves the socket hears of it by itself.
        socket.on("error", () => {});
        const remote = endOf(socket.remoteAddress, socket.remotePort);
        const entry = gate.enter(remote.host);
        if (typeof entry === "string") {
          socket.write(tooMany);
          socket.destroySoon();
          return;
        }
        socket.once("close", entry.leave);
        options.onConnection?.(socket);
        const local = endOf(socket.localAddress, socket.localPort);
        serve(socket, { remote, local }, entry.guest, signal);
      });
      const bound = await (options.listen ?? listen)(server, options.address, options.setting);
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

/** A line before the version line is the one thing that may be said here (RFC 4253 §4.2). */
const tooMany = "Too many connections; try again later\r\n";

/** One end of a socket. */
export const endOf = (host: string | undefined, port: number | undefined): Address => ({
  host: host?.replace(/^::ffff:(?=\d+\.)/, "") ?? "unknown",
  port: port ?? 0,
});
