import type { Server } from "node:net";
import { Fault } from "#core/errors";
import { type Address, formatAddress } from "./address.ts";

/** How a server comes to its address: by binding it, or with a socket that another process has bound. */
export type Listen = (server: Server, address: Address, setting: string) => Promise<Address>;

/**
 * Binds a server and answers with the address it got (port 0 becomes a real one). A taken or forbidden port is
 * `unreachable`, with a sentence that names it and the `setting` that chooses another. With `fd`, a listening
 * socket of that address, nothing is bound.
 */
export function listen(server: Server, address: Address, setting: string, fd?: number): Promise<Address> {
  const { promise, resolve, reject } = Promise.withResolvers<Address>();
  const onError = (cause: NodeJS.ErrnoException): void => {
    const where = formatAddress(address);
    const why =
      cause.code === "EADDRINUSE"
        ? `${where} is taken by another program; stop it or choose another address with ${setting}`
        : cause.code === "EACCES"
          ? `${where} needs more rights than this process has; choose a port from 1024 up with ${setting}`
          : cause.code === "EADDRNOTAVAIL"
            ? `${where} is not an address of this machine; choose one that is with ${setting}`
            : `cannot listen on ${where}: ${cause.message}; ${setting} chooses another address`;
    reject(new Fault("unreachable", why, { cause }));
  };
  server.once("error", onError);
  server.listen(fd === undefined ? { host: address.host, port: address.port } : { fd }, () => {
    server.removeListener("error", onError);
    const bound = server.address();
    const port = bound !== null && typeof bound === "object" ? bound.port : address.port;
    resolve({ host: address.host, port });
  });
  return promise;
}
