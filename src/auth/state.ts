import type { MirrorChange } from "#contract/auth";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { Queue } from "#core/queue";
import { type CertAuthority, publicPart, type SystemRole } from "#model";
import { type StateChange, type Store, watchState } from "#store";

/** A watch that says nothing for three of these counts as dead at the other end. */
const beatEvery: Millis = 5 * second;
const retryAfter: Millis = 1 * second;
/** Changes a reader may be behind before it has to begin anew. */
const mostBehind = 20_000;

type Put = Extract<StateChange, { type: "put" }>;

/**
 * The cluster's state, read from the storage once for all members that watch it. Holds no private keys. Records of
 * machines are left out for nodes, which do not route.
 */
export class ClusterState implements AsyncDisposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #readers = new Map<Queue<MirrorChange>, (change: StateChange) => boolean>();
  #records = new Map<string, Put>();
  #authorities: readonly CertAuthority[] = [];
  #running: Promise<unknown> = Promise.resolve();

  constructor(parts: { store: Store; clock: Clock; log: Log }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Resolves when the first list is complete. */
  async start(): Promise<void> {
    const { promise: live, resolve } = Promise.withResolvers<void>();
    const follow = this.#followForEver(resolve);
    this.#running = Promise.all([follow, this.#beat()]);
    await Promise.race([live, follow]);
  }

  /** Asked at every request, so kept apart from the many machines. */
  authorities(): readonly CertAuthority[] {
    return this.#authorities;
  }

  /** `reset`, everything that `role` may mirror, `live`, then changes and beats until `signal` aborts. */
  async *watch(role: SystemRole, signal: AbortSignal): AsyncGenerator<MirrorChange> {
    const queue = new Queue<MirrorChange>();
    const wants = (change: StateChange): boolean => role !== "Node" || !unroutable.has(change.kind);
    const end = (): void => queue.end();
    this.#list(queue, wants);
    this.#readers.set(queue, wants);
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted || this.#stop.signal.aborted) end();
    try {
      yield* queue;
    } finally {
      this.#readers.delete(queue);
      signal.removeEventListener("abort", end);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const queue of this.#readers.keys()) queue.end();
    await this.#running;
  }

  async #followForEver(live: () => void): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#follow(live);
      } catch (err) {
        if (!signal.aborted)
          this.#log.warn("lost the watch of the storage", {
            error: err instanceof Error ? err.message : String(err),
          });
      }
      await this.#clock.sleep(retryAfter, signal, { background: true }).catch(() => {});
    }
  }

  async #follow(live: () => void): Promise<void> {
    const records = new Map<string, Put>();
    let complete = false;
    for await (const full of watchState(this.#store, this.#stop.signal)) {
      if (full.type === "live") {
        // A second list is told whole: what was deleted meanwhile is not in it.
        this.#records = records;
        this.#pickAuthorities();
        complete = true;
        for (const [queue, wants] of this.#readers) this.#list(queue, wants);
        live();
        continue;
      }
      const change = withoutSecrets(full);
      if (change.type === "put") records.set(nameOf(change), change);
      else records.delete(nameOf(change));
      if (complete && change.kind === "cert_authority") this.#pickAuthorities();
      if (complete) this.#tell((wants) => (wants(change) ? change : undefined));
    }
  }

  #pickAuthorities(): void {
    this.#authorities = [...this.#records.values()].flatMap((put) =>
      put.kind === "cert_authority" ? [put.value] : [],
    );
  }

  async #beat(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#clock.sleep(beatEvery, signal, { background: true }).catch(() => {});
      this.#tell(() => ({ type: "beat" }));
    }
  }

  #list(queue: Queue<MirrorChange>, wants: (change: StateChange) => boolean): void {
    queue.push({ type: "reset" });
    for (const put of this.#records.values()) if (wants(put)) queue.push(put);
    queue.push({ type: "live" });
  }

  #tell(change: (wants: (change: StateChange) => boolean) => MirrorChange | undefined): void {
    for (const [queue, wants] of this.#readers) {
      const told = change(wants);
      if (!told) continue;
      if (queue.size > this.#records.size + mostBehind) {
        queue.end(new Fault("limit_exceeded", "the watch fell too far behind; begin anew"));
        this.#readers.delete(queue);
      } else queue.push(told);
    }
  }
}

const unroutable: ReadonlySet<StateChange["kind"]> = new Set(["node", "auth_server"]);

const withoutSecrets = (change: StateChange): StateChange =>
  change.type === "put" && change.kind === "cert_authority"
    ? { ...change, value: publicPart(change.value) }
    : change;

function nameOf(change: StateChange): string {
  if (change.type === "delete") return `${change.kind} ${change.name}`;
  if (change.kind === "cluster_config") return change.kind;
  if (change.kind === "cert_authority")
    return `${change.kind} ${change.value.spec.type}/${change.value.metadata.name}`;
  return `${change.kind} ${change.value.metadata.name}`;
}
