import { createServer, type Socket } from "node:net";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { type Address, formatAddress, listen } from "#net";
import type { NodeServer } from "./server.ts";

/** Listens for a node (CFG-71) and bounds how many connections one address may have (CFG-17). */
export function nodeListener(options: {
  readonly server: NodeServer;
  readonly address: Address;
  readonly maxConnections: number;
  /** Told of the address that was bound: port 0 becomes a real one. */
  readonly onListening?: (address: Address) => void;
  readonly log: Log;
}): Service {
  const { server, log, maxConnections } = options;
  return {
    name: "node",
    async run(signal, ready) {
      const perAddress = new Map<string, number>();
      const live = new Set<Promise<void>>();
      const door = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true });
      door.on("connection", (socket) => {
        // Without a listener an error would end the process; the SSH side hears of it by itself.
        socket.on("error", () => {});
        const remote = end(socket.remoteAddress, socket.remotePort);
        const count = perAddress.get(remote.host) ?? 0;
        if (count >= maxConnections) {
          log.warn("too many connections from one address", { address: remote.host });
          return void socket.destroy();
        }
        perAddress.set(remote.host, count + 1);
        socket.once("close", () => {
          const left = (perAddress.get(remote.host) ?? 1) - 1;
          if (left > 0) perAddress.set(remote.host, left);
          else perAddress.delete(remote.host);
        });
        const done = server
          .handle(socket, { remote, local: end(socket.localAddress, socket.localPort) }, signal)
          .finally(() => live.delete(done));
        live.add(done);
      });
      const bound = await listen(door, options.address, "ssh_service.listen_addr");
      door.on("error", (err) => log.error("the listener failed", { error: err.message }));
      log.info("node is listening", { address: formatAddress(bound) });
      options.onListening?.(bound);
      ready();
      await aborted(signal);
      door.close();
      await Promise.all(live);
    },
  };
}

/** An IPv4 peer of a dual-stack listener comes dressed as IPv6. */
const end = (host: Socket["remoteAddress"], port: number | undefined): Address => ({
  host: host?.replace(/^::ffff:(?=\d+\.)/, "") ?? "unknown",
  port: port ?? 0,
});

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
