import type { Alive, MirrorChange } from "#contract/auth";
import type { Heard, Sink } from "#contract/rpc";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { type CertAuthority, publicPart, type SystemRole, type TrustedLink } from "#model";
import { nameOf, type StateChange, type Store, watchState } from "#store";

/** A watch that says nothing for six of these counts as dead at the other end. */
const beatEvery: Millis = 5 * second;
/** Who says every 5 s that it is there is answered every fourth time: answers cost more than all the rest. */
const answerAfter: Millis = 17 * second;
const retryAfter: Millis = 1 * second;
/** Who says that it is there and then says nothing for so long is gone: its connection may have died without a word. */
const silence: Millis = 30 * second;
/** Changes a reader may be behind before it has to begin anew. */
const mostBehind = 20_000;

type Answers = Sink<MirrorChange>;

/** A member that talks while it watches. */
interface Talk {
  readonly said: Heard<Alive>;
  /** Whether all its records are there, and as it says they are. */
  readonly alive: (alive: Alive) => boolean;
}

interface Reader {
  readonly wants: (change: StateChange) => boolean;
  /** When it last said that it is there; undefined when it only listens. */
  heard: Millis | undefined;
  /** When it was last answered. */
  answered: Millis;
}

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
  readonly #readers = new Map<Answers, Reader>();
  #records = new Map<string, Put>();
  readonly #ofAuthorities = new Set<() => void>();
  #authorities: readonly CertAuthority[] = [];
  #trusted: readonly TrustedLink[] = [];
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

  /** Clusters that this one trusts, with their authorities. */
  trusted(): readonly TrustedLink[] {
    return this.#trusted;
  }

  /** Calls back when either has changed; the answer stops it. */
  onAuthorities(listener: () => void): () => void {
    this.#ofAuthorities.add(listener);
    return () => void this.#ofAuthorities.delete(listener);
  }

  /** The record of a member, if it is there. */
  record(kind: "node" | "proxy", hostId: string): unknown {
    return this.#records.get(`${kind} ${hostId}`)?.value;
  }

  /**
   * Tells `reset`, everything that `role` may mirror, `live`, then changes and beats until `signal` aborts. Who talks is
   * answered with a beat, which spreads those of thousands of members over time; who only listens hears them by the clock.
   */
  watch(role: SystemRole, answers: Answers, signal: AbortSignal, talk?: Talk): void {
    const wants = (change: StateChange): boolean => role !== "Node" || !unroutable.has(change.kind);
    this.#list(answers, wants);
    const now = this.#clock.uptime();
    const reader: Reader = { wants, heard: talk && now, answered: Number.NEGATIVE_INFINITY };
    this.#readers.set(answers, reader);
    if (talk) this.#listen(talk, reader, answers);
    signal.addEventListener("abort", () => this.#end(answers), { once: true });
    if (signal.aborted || this.#stop.signal.aborted) this.#end(answers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const answers of this.#readers.keys()) this.#end(answers);
    await this.#running;
  }

  #end(answers: Answers, error?: unknown): void {
    this.#readers.delete(answers);
    answers.end(error);
  }

  #listen({ said, alive }: Talk, reader: Reader, answers: Answers): void {
    said((one) => {
      reader.heard = this.#clock.uptime();
      const all = alive(one);
      if (all && reader.heard - reader.answered < answerAfter) return;
      reader.answered = reader.heard;
      answers.push({ type: all ? "beat" : "announce" });
      // What cannot be understood ends the watch; who has gone has ended it already.
    }).catch((err: unknown) => this.#end(answers, err));
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
        for (const [answers, { wants }] of this.#readers) this.#list(answers, wants);
        live();
        continue;
      }
      const change = withoutSecrets(full);
      if (change.type === "put") records.set(keyOf(change), change);
      else records.delete(keyOf(change));
      if (complete && (change.kind === "cert_authority" || change.kind === "trusted_cluster"))
        this.#pickAuthorities();
      if (complete) this.#tell(({ wants }) => (wants(change) ? change : undefined));
    }
  }

  #pickAuthorities(): void {
    this.#authorities = [...this.#records.values()].flatMap((put) =>
      put.kind === "cert_authority" ? [put.value] : [],
    );
    this.#trusted = [...this.#records.values()].flatMap((put) =>
      put.kind === "trusted_cluster" ? [put.value] : [],
    );
    for (const listener of this.#ofAuthorities) listener();
  }

  async #beat(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#clock.sleep(beatEvery, signal, { background: true }).catch(() => {});
      this.#tell(({ heard }) => (heard === undefined ? { type: "beat" } : undefined));
      const late = this.#clock.uptime() - silence;
      for (const [answers, { heard = late + 1 }] of this.#readers) if (heard <= late) this.#end(answers);
    }
  }

  #list(answers: Answers, wants: (change: StateChange) => boolean): void {
    answers.push({ type: "reset" });
    for (const put of this.#records.values()) if (wants(put)) answers.push(put);
    answers.push({ type: "live" });
  }

  #tell(change: (reader: Reader) => MirrorChange | undefined): void {
    for (const [answers, reader] of this.#readers) {
      const told = change(reader);
      if (!told) continue;
      if (answers.size > this.#records.size + mostBehind)
        this.#end(answers, new Fault("limit_exceeded", "the watch fell too far behind; begin anew"));
      else answers.push(told);
    }
  }
}

const unroutable: ReadonlySet<StateChange["kind"]> = new Set(["node", "auth_server", "remote_cluster"]);

const withoutSecrets = (change: StateChange): StateChange =>
  change.type === "put" && change.kind === "cert_authority"
    ? { ...change, value: publicPart(change.value) }
    : change;

const keyOf = (change: StateChange): string =>
  `${change.kind} ${change.type === "delete" ? change.name : nameOf(change)}`;
