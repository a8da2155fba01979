import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Leaving } from "#core/leaving";
import type { Service } from "#core/service";
import type { AuthServer, Node, ProxyServer } from "#model";
import type { Parts } from "./parts.ts";

/** A member that has said nothing for so long is gone from all lists (OVW-34). */
const presenceTtl: Millis = 30 * second;
/** Keep-alives come every 5 s; a record that is younger than this is not written again, or all storage would do is this. */
const freshFor: Millis = 8 * second;

/** Records of members, which end unless the member keeps saying that it is there. */
export class Presence {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  announceNode(node: Node): Promise<void> {
    return this.#parts.store.nodes.put(node, this.#end());
  }
  announceProxy(proxy: ProxyServer): Promise<void> {
    return this.#parts.store.proxies.put(proxy, this.#end());
  }

  /** Throws `not_found` when no record of the host is left: it has to announce itself anew. */
  async alive(hostId: string): Promise<void> {
    const { nodes, proxies } = this.#parts.store;
    const found = await Promise.all([this.#extend(nodes, hostId), this.#extend(proxies, hostId)]);
    if (!found.includes(true))
      throw new Fault("not_found", `no record of the host ${hostId} is left; announce it again`);
  }

  /** Keeps the record of this auth server while it runs. */
  announcer(server: AuthServer, leaving: Leaving): Service {
    const { store, clock, log } = this.#parts;
    return {
      name: "auth-presence",
      run: async (end, ready) => {
        const signal = AbortSignal.any([end, leaving.begun]);
        await store.authServers.put(server, this.#end());
        ready();
        while (!signal.aborted) {
          await clock.sleep(freshFor, signal, { background: true }).catch(() => {});
          if (signal.aborted) break;
          await store.authServers.put(server, this.#end()).catch((err: Error) => {
            log.warn("could not renew this auth server's record", { error: err.message });
          });
        }
        // Of the process that serves now.
        if (leaving.replaced) return;
        // A clean stop is seen at once.
        await store.authServers.delete(server.metadata.name).catch((err: unknown) => {
          if (!Fault.is(err, "not_found")) throw err;
        });
      },
    };
  }

  async #extend(
    records: Parts["store"]["nodes"] | Parts["store"]["proxies"],
    hostId: string,
  ): Promise<boolean> {
    const now = await records.findVersioned(hostId);
    if (!now) return false;
    if ((now.expires ?? 0) >= this.#end() - freshFor) return true;
    return records.extend(hostId, this.#end());
  }

  #end(): Millis {
    return this.#parts.clock.now() + presenceTtl;
  }
}
