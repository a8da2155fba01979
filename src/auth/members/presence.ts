import { isDeepStrictEqual } from "node:util";
import type { Alive } from "#contract/auth";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Leaving } from "#core/leaving";
import type { Service } from "#core/service";
import type { AuthServer, Node, ProxyServer } from "#model";
import type { Parts } from "../parts.ts";
import type { ClusterState } from "./state.ts";

/** A member that has said nothing for so long is gone from all lists (OVW-34). */
const presenceTtl: Millis = 30 * second;
/** Keep-alives come every 5 s. What they say is stored for all members together this often, or all storage would do is this. */
const storeEvery: Millis = 15 * second;
const renewEvery: Millis = 8 * second;

/** A host that speaks: what its records are called in the storage, made once for all that it says. */
interface Speaker {
  readonly hostId: string;
  readonly keys: Readonly<Record<Alive["kinds"][number], string>>;
}

/** Records of members, which end unless the member keeps saying that it is there. */
export class Presence implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #state: Pick<ClusterState, "record">;
  readonly #stop = new AbortController();
  /** When the members of records have last said something, by key; and the keys that are not stored with it yet. */
  readonly #said = new Map<string, Millis>();
  #unstored = new Set<string>();
  #storing: Promise<void> | undefined;
  #hurry = new AbortController();

  constructor(parts: Parts, state: Pick<ClusterState, "record">) {
    this.#parts = parts;
    this.#state = state;
  }

  announceNode(node: Node): Promise<void> {
    const { nodes } = this.#parts.store;
    this.#said.set(nodes.key(node.metadata.name), this.#parts.clock.now());
    return nodes.put(node, this.#end());
  }
  announceProxy(proxy: ProxyServer): Promise<void> {
    const { proxies } = this.#parts.store;
    this.#said.set(proxies.key(proxy.metadata.name), this.#parts.clock.now());
    return proxies.put(proxy, this.#end());
  }

  speaker(hostId: string): Speaker {
    const { nodes, proxies } = this.#parts.store;
    return { hostId, keys: { node: nodes.key(hostId), proxy: proxies.key(hostId) } };
  }

  /**
   * Keeps the records of the host for another 30 s, without a write of its own and without telling who watches.
   * False when one of `kinds` is not there any more, or not as one of `records` says: the member has to announce it anew. By that
   * call, since a stream is one identity's and a record may be another's of the same host.
   */
  alive({ hostId, keys }: Speaker, { kinds, records = [] }: Alive): boolean {
    const now = this.#parts.clock.now();
    let all = true;
    for (const kind of kinds) {
      if (this.#state.record(kind, hostId) === undefined) {
        all = false;
        continue;
      }
      const key = keys[kind];
      const before = this.#said.get(key) ?? Number.NEGATIVE_INFINITY;
      this.#said.set(key, now);
      this.#unstored.add(key);
      this.#storing ??= this.#store().finally(() => {
        this.#storing = undefined;
      });
      // Some were lost, or this server has just started: its time may be nearly over.
      if (now - before > storeEvery) this.#hurry.abort();
    }
    return all && records.every((told) => isDeepStrictEqual(this.#state.record(told.kind, hostId), told));
  }

  /** Keeps the record of this auth server while it runs. */
  announcer(server: () => AuthServer, leaving: Leaving): Service & { changed(): void } {
    const { store, clock, log } = this.#parts;
    let wake = new AbortController();
    return {
      name: "auth-presence",
      changed: () => wake.abort(),
      run: async (end, ready) => {
        const signal = AbortSignal.any([end, leaving.begun]);
        await store.authServers.put(server(), this.#end());
        ready();
        while (!signal.aborted) {
          const now = AbortSignal.any([signal, wake.signal]);
          await clock.sleep(renewEvery, now, { background: true }).catch(() => {});
          if (signal.aborted) break;
          wake = new AbortController();
          await store.authServers.put(server(), this.#end()).catch((err: Error) => {
            log.warn("could not renew this auth server's record", { error: err.message });
          });
        }
        // Of the process that serves now.
        if (leaving.replaced) return;
        // A clean stop is seen at once.
        await store.authServers.delete(server().metadata.name).catch((err: unknown) => {
          if (!Fault.is(err, "not_found")) throw err;
        });
      },
    };
  }

  /** Stores what was said last, so that a restart finds the members that are there. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#storing;
  }

  async #store(): Promise<void> {
    const { clock, store, log } = this.#parts;
    while (this.#unstored.size > 0) {
      const now = AbortSignal.any([this.#stop.signal, this.#hurry.signal]);
      await clock.sleep(storeEvery, now, { background: true }).catch(() => {});
      this.#hurry = new AbortController();
      const late = clock.now() - presenceTtl;
      const alive = [...this.#unstored].map((key) => ({
        key,
        expires: (this.#said.get(key) ?? late) + presenceTtl,
      }));
      this.#unstored = new Set();
      for (const [key, said] of this.#said) if (said <= late) this.#said.delete(key);
      try {
        await store.backend.extend(alive);
      } catch (err) {
        // It is said again in five seconds.
        log.warn("could not store which members are there", { error: (err as Error).message });
      }
    }
  }

  #end(): Millis {
    return this.#parts.clock.now() + presenceTtl;
  }
}
