import type { AuthContract, MirrorChange } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import type { AuthorityType, CertAuthority, ClusterConfig, Node, ProxyServer, Role, User } from "#model";
import { NodeIndex } from "./node-index.ts";
import type { ClusterView } from "./view.ts";

/** Auth sends a beat at least every 5 s; three missed and the watch counts as dead. */
const silence: Millis = 15 * second;
const retryAfter: Millis = 1 * second;

/** What one watch has told. A new watch fills a new one, which takes over when its list is complete. */
class Copy {
  config: ClusterConfig | undefined;
  readonly authorities = new Map<string, CertAuthority>();
  readonly users = new Map<string, User>();
  readonly roles = new Map<string, Role>();
  readonly nodes = new NodeIndex();
  readonly proxies = new Map<string, ProxyServer>();

  apply(change: MirrorChange): void {
    if (change.type === "put") this.#put(change);
    else if (change.type === "delete") {
      const of = {
        cert_authority: this.authorities,
        user: this.users,
        role: this.roles,
        node: this.nodes,
        proxy: this.proxies,
        auth_server: undefined,
      };
      of[change.kind]?.delete(change.name);
    }
  }

  #put(change: Extract<MirrorChange, { type: "put" }>): void {
    switch (change.kind) {
      case "cluster_config":
        this.config = change.value;
        return;
      case "cert_authority":
        this.authorities.set(`${change.value.spec.type}/${change.value.metadata.name}`, change.value);
        return;
      case "user":
        this.users.set(change.value.metadata.name, change.value);
        return;
      case "role":
        this.roles.set(change.value.metadata.name, change.value);
        return;
      case "node":
        this.nodes.set(change.value.metadata.name, change.value);
        return;
      case "proxy":
        this.proxies.set(change.value.metadata.name, change.value);
        return;
      case "auth_server":
        return;
    }
  }
}

/**
 * The local copy behind a `ClusterView`, as a service: ready when the first list is complete; reconnects for ever. While
 * auth is away the last copy answers (OVW-36); records that have run out are then kept too, since nobody could renew them.
 */
export class Mirror implements Service, ClusterView {
  readonly name = "mirror";
  readonly #client: Pick<Client<AuthContract>, "mirror.watch">;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners = new Set<() => void>();
  #copy = new Copy();
  #connected = false;

  constructor(parts: { client: Pick<Client<AuthContract>, "mirror.watch">; clock: Clock; log: Log }) {
    this.#client = parts.client;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Whether the watch is up: what is answered is what auth knows. */
  get connected(): boolean {
    return this.#connected;
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#watch(signal, ready);
      } catch (err) {
        if (signal.aborted) return;
        this.#log.warn("lost the watch of the cluster's state", { error: (err as Error).message });
      }
      this.#connected = false;
      await this.#clock.sleep(retryAfter, signal).catch(() => {});
    }
  }

  config(): ClusterConfig {
    if (!this.#copy.config)
      throw new Fault("unreachable", "the cluster's state is not known yet; is the auth server up?");
    return this.#copy.config;
  }
  authorities(type: AuthorityType): readonly CertAuthority[] {
    return [...this.#copy.authorities.values()].filter((ca) => ca.spec.type === type);
  }
  user(name: string): User | undefined {
    return this.#copy.users.get(name);
  }
  role(name: string): Role | undefined {
    return this.#copy.roles.get(name);
  }
  nodes(): readonly Node[] {
    return [...this.#copy.nodes.values()];
  }
  nodesAt(name: string): readonly Node[] {
    return this.#copy.nodes.at(name);
  }
  proxies(): readonly ProxyServer[] {
    return [...this.#copy.proxies.values()];
  }
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #watch(outer: AbortSignal, ready: () => void): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([outer, stop.signal]);
    const alive = this.#guard(stop, signal);
    let copy = new Copy();
    let live = false;
    try {
      for await (const change of this.#client["mirror.watch"]({}, signal)) {
        alive.heard();
        if (change.type === "beat") continue;
        if (change.type === "reset") {
          copy = new Copy();
          live = false;
          continue;
        }
        copy.apply(change);
        if (change.type === "live") {
          live = true;
          this.#copy = copy;
          this.#connected = true;
          ready();
        }
        if (live) this.#tell();
      }
    } finally {
      stop.abort();
      await alive.done;
    }
    if (!outer.aborted) throw new Fault("unreachable", "the watch ended");
  }

  /** Stops the watch when it has said nothing for too long: a connection can die without a word. */
  #guard(stop: AbortController, signal: AbortSignal): { heard(): void; done: Promise<void> } {
    let last = this.#clock.now();
    const check = async (): Promise<void> => {
      while (!signal.aborted) {
        await this.#clock.sleep(silence / 3, signal, { background: true }).catch(() => {});
        if (this.#clock.now() - last >= silence)
          stop.abort(new Fault("unreachable", "the auth server fell silent"));
      }
    };
    return {
      heard: () => {
        last = this.#clock.now();
      },
      done: check(),
    };
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
