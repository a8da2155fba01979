import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { type Clock, type Millis, minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import type {
  AuthorityType,
  CertAuthority,
  ClusterConfig,
  Node,
  ProxyServer,
  RemoteLink,
  Role,
  TrustedLink,
  User,
} from "#model";
import { Copy } from "./copy.ts";
import type { CopyFile } from "./copy-file.ts";
import type { ClusterView } from "./view.ts";

/** Auth sends a beat at least every 15 s; two missed and the watch counts as dead. */
const silence: Millis = 30 * second;
const retryFrom: Millis = 1 * second;
const retryTo: Millis = 10 * second;
/** At a start so long is the first list waited for, before the copy on disk answers instead. */
const patience: Millis = 2 * second;

/** Why a watch is given up that another takes the place of at once: nothing is amiss. */
export const otherConnection: Error = new Fault("unreachable", "the watch goes on by another connection");

/** How the copy is saved: soon after a change of who may do what, later after one of the many machines. */
const saveEvery: Millis = 1 * second;
const saveMachinesEvery: Millis = 1 * minute;
/** After a failure, as of a full disk. */
const saveAgain: Millis = 10 * second;
/** Without a change too, so that the file tells how long ago it was current. */
const saveAnyway: Millis = 10 * minute;

/** A place on disk for the copy. */
interface MirrorFile {
  readonly file: CopyFile;
  /** PEM certificates of the host authorities that this member trusts: a copy of another cluster's state is not used. */
  readonly trusted: () => readonly string[];
}

interface MirrorParts {
  readonly client: Pick<Client<AuthContract>, "mirror.watch">;
  readonly clock: Clock;
  readonly log: Log;
  /** How long the copy answers after auth was last heard (CFG-23); absent: for ever. */
  readonly ttl?: Millis;
  /** Absent: the copy ends with the process. */
  readonly kept?: MirrorFile;
}

/**
 * The local copy behind a `ClusterView`, as a service: ready when the first list is complete, or when auth is away and there is
 * a copy on disk; reconnects for ever. While auth is away the last copy answers (OVW-36); records that have run out are then
 * kept too, since nobody could renew them.
 */
export class Mirror implements Service, ClusterView {
  readonly name = "mirror";
  readonly #parts: MirrorParts;
  readonly #listeners = new Set<() => void>();
  #copy = new Copy();
  #connected = false;
  /** When what is held was last known to be what auth has. */
  #asOf: Millis = Number.NEGATIVE_INFINITY;
  #unsaved: "no" | "machines" | "all" = "no";
  #again = new AbortController();

  constructor(parts: MirrorParts) {
    this.#parts = parts;
  }

  /** Whether the watch is up: what is answered is what auth knows. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Watches by a new connection: this host has another certificate now. What is known counts until that one has told. */
  again(): void {
    this.#again.abort(otherConnection);
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    const { clock, log } = this.#parts;
    const beside = [this.#startWithout(signal, ready), this.#keepSaving(signal)];
    let pause = retryFrom;
    while (!signal.aborted) {
      try {
        await this.#watch(signal, ready);
      } catch (err) {
        if (signal.aborted) break;
        if (this.#again.signal.aborted) continue;
        log.warn("lost the watch of the cluster's state", { error: (err as Error).message });
      }
      pause = this.#connected ? retryFrom : Math.min(pause * 2, retryTo);
      this.#connected = false;
      await clock.sleep(pause, signal).catch(() => {});
    }
    await Promise.all(beside);
  }

  config(): ClusterConfig {
    const { config } = this.#usable;
    if (config) return config;
    throw new Fault(
      "unreachable",
      this.#copy.config
        ? "the auth server has been away for longer than the copy of the cluster's state may be used (teleport.cache.ttl)"
        : "the cluster's state is not known yet; is the auth server up?",
    );
  }
  authorities(type: AuthorityType): readonly CertAuthority[] {
    return [...this.#usable.authorities.values()].filter((ca) => ca.spec.type === type);
  }
  user(name: string): User | undefined {
    return this.#usable.users.get(name);
  }
  role(name: string): Role | undefined {
    return this.#usable.roles.get(name);
  }
  nodes(): readonly Node[] {
    return [...this.#usable.nodes.values()];
  }
  nodesAt(name: string): readonly Node[] {
    return this.#usable.nodes.at(name);
  }
  proxies(): readonly ProxyServer[] {
    return [...this.#usable.proxies.values()];
  }
  trustedClusters(): readonly TrustedLink[] {
    return [...this.#usable.trusted.values()];
  }
  remoteClusters(): readonly RemoteLink[] {
    return [...this.#usable.remote.values()];
  }
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The copy, or an empty one when it is too old to be believed. */
  get #usable(): Copy {
    const { clock, ttl = Number.POSITIVE_INFINITY } = this.#parts;
    return this.#connected || clock.now() - this.#asOf <= ttl ? this.#copy : tooOld;
  }

  async #watch(outer: AbortSignal, ready: () => void): Promise<void> {
    const stop = new AbortController();
    this.#again = new AbortController();
    const signal = AbortSignal.any([outer, stop.signal, this.#again.signal]);
    const alive = this.#guard(stop, signal);
    let copy = new Copy();
    let live = false;
    try {
      for await (const change of this.#parts.client["mirror.watch"]({}, signal)) {
        alive.heard();
        if (live) this.#asOf = this.#parts.clock.now();
        if (change.type === "beat" || change.type === "announce") continue;
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
          this.#asOf = this.#parts.clock.now();
          ready();
        }
        if (!live) continue;
        if (change.type === "live" || !machines.has(change.kind)) this.#unsaved = "all";
        else if (this.#unsaved === "no") this.#unsaved = "machines";
        this.#tell();
      }
    } finally {
      stop.abort();
      await alive.done;
    }
    if (!outer.aborted) throw new Fault("unreachable", "the watch ended");
  }

  /** Stops the watch when it has said nothing for too long: a connection can die without a word. */
  #guard(stop: AbortController, signal: AbortSignal): { heard(): void; done: Promise<void> } {
    const { clock } = this.#parts;
    let last = clock.uptime();
    const check = async (): Promise<void> => {
      while (!signal.aborted) {
        await clock.sleep(silence / 3, signal, { background: true }).catch(() => {});
        if (clock.uptime() - last >= silence)
          stop.abort(new Fault("unreachable", "the auth server fell silent"));
      }
    };
    return {
      heard: () => {
        last = clock.uptime();
      },
      done: check(),
    };
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Without an answer of auth, the copy on disk lets the process begin its work (OVW-36). */
  async #startWithout(signal: AbortSignal, ready: () => void): Promise<void> {
    const { kept, clock, log, ttl = Number.POSITIVE_INFINITY } = this.#parts;
    if (!kept) return;
    await clock.sleep(patience, signal).catch(() => {});
    if (signal.aborted || this.#copy.config) return;
    const passedOver = (error: string): void =>
      log.warn("the copy of the cluster's state on disk is not used", { error });
    try {
      const found = await kept.file.load(clock.now());
      // Auth may have answered meanwhile.
      if (!found || this.#copy.config) return;
      const age = clock.now() - found.asOf;
      if (age > ttl) return passedOver("it is older than teleport.cache.ttl");
      if (!isOf(found.copy, kept.trusted())) return passedOver("it is of another cluster");
      this.#copy = found.copy;
      // A clock that was set back must not lengthen its life.
      this.#asOf = Math.min(found.asOf, clock.now());
      log.warn("the auth server does not answer: starting with the copy of the cluster's state on disk", {
        as_of: new Date(found.asOf).toISOString(),
      });
      this.#tell();
      ready();
    } catch (err) {
      passedOver((err as Error).message);
    }
  }

  /** Saves what is current now and then, and once more at the end. */
  async #keepSaving(signal: AbortSignal): Promise<void> {
    const { kept, clock, log } = this.#parts;
    if (!kept) return;
    let triedAt: Millis = Number.NEGATIVE_INFINITY;
    let failing = false;
    let atEnd = false;
    signal.addEventListener("abort", () => (atEnd = this.#connected), { once: true });
    const wait = { machines: saveMachinesEvery, all: 0, no: saveAnyway };
    do {
      await clock.sleep(saveEvery, signal, { background: true }).catch(() => {});
      const pause = failing ? saveAgain : wait[this.#unsaved];
      const due = this.#connected && clock.now() - triedAt >= pause;
      if (!due && !(atEnd && this.#unsaved !== "no")) continue;
      const unsaved = this.#unsaved;
      this.#unsaved = "no";
      try {
        triedAt = clock.now();
        await kept.file.save(this.#copy, triedAt);
        failing = false;
      } catch (err) {
        if (this.#unsaved === "no") this.#unsaved = unsaved;
        const error = (err as Error).message;
        if (!failing) log.warn("the copy of the cluster's state cannot be kept on disk", { error });
        failing = true;
      }
      // The stop may come during a save, and after a change that the save does not have.
    } while (!signal.aborted || (atEnd && !failing && this.#unsaved !== "no"));
  }
}

const tooOld: Copy = new Copy();
const machines: ReadonlySet<string> = new Set(["node", "proxy", "auth_server"]);

/** Whether the host authority of the copied cluster is one that `trusted` names. */
function isOf(copy: Copy, trusted: readonly string[]): boolean {
  const host = copy.authorities.get(`host/${copy.config?.cluster_name}`);
  return host?.spec.tls_key_pairs.some(({ cert }) => trusted.includes(cert)) ?? false;
}
