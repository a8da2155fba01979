import { closeSync } from "node:fs";
import type { Server } from "node:net";
import { type Address, formatAddress, listen } from "#net";

/** A listening socket that passes from one process to the next. */
export interface Inherited {
  /** `setting address`, both as the configuration has them: `ssh_service.listen_addr 0.0.0.0:3022`. */
  readonly name: string;
  /** The descriptor in the process that reads this. */
  readonly fd: number;
}

/**
 * The listeners of this process: those that the process before it left, which are used where the configuration asks for the
 * same address, and those it opened. Connections that come while both processes have a socket wait in it and are not refused.
 */
export class Listeners {
  readonly #inherited: Map<string, number>;
  readonly #servers = new Map<string, Server>();

  constructor(inherited: readonly Inherited[]) {
    this.#inherited = new Map(inherited.map(({ name, fd }) => [name, fd]));
  }

  /** As `listen` of #net. */
  readonly listen = async (server: Server, address: Address, setting: string): Promise<Address> => {
    const name = `${setting} ${formatAddress(address)}`;
    const fd = this.#inherited.get(name);
    this.#inherited.delete(name);
    const bound = await listen(server, address, setting, fd);
    this.#servers.set(name, server);
    server.once("close", () => this.#servers.delete(name));
    return bound;
  };

  /** Those that are open, for the next process. */
  get open(): readonly Inherited[] {
    return [...this.#servers].flatMap(([name, server]) => {
      const fd = server.listening ? descriptorOf(server) : undefined;
      return fd === undefined ? [] : [{ name, fd }];
    });
  }

  /** Closes what was inherited and nothing listens on any more: the configuration has changed in between. */
  dropUnused(): void {
    for (const fd of this.#inherited.values()) closeSync(fd);
    this.#inherited.clear();
  }

  /** Takes no new connection; resolves when the last one that came before is over. */
  async retire(): Promise<void> {
    const closing = [...this.#servers.values()].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    await Promise.all(closing);
  }
}

/** Node has no public name for it; its own `cluster` and every program that passes sockets on read it here. */
function descriptorOf(server: Server): number | undefined {
  const { _handle: handle } = server as Server & { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}
