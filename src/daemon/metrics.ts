import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { IssueMeter } from "#auth";
import type { StorageMeter } from "#backend";
import type { Millis } from "#core/clock";
import { type FaultKind, faultKinds } from "#core/errors";
import { type SessionKind, type SessionMeter, sessionKinds } from "#node";
import type { DialMeter } from "#proxy";
import { CallMetrics } from "./call-metrics.ts";
import type { Heartbeats } from "./health.ts";
import { LimitMetrics } from "./limits.ts";

import { Traffic } from "./traffic.ts";

/** From a quarter of a millisecond to ten seconds. */
const buckets = [0.00025, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10];

/** A number that is asked for when somebody looks; undefined when there is none now. */
type Reading = () => number | undefined | Promise<number | undefined>;

/**
 * Keeps a name of the admin guide whose form Prometheus' rules of today refuse for its type: tools are told no type, and
 * show it as it is.
 */
class Untyped extends Gauge {
  override async get() {
    const all = await super.get();
    return { ...all, type: "untyped" as unknown as typeof all.type };
  }
}

/**
 * All metrics of the process (CFG-150). Parts are handed the small interface that they feed; what they could also do is not
 * theirs to know. Values of labels come from lists in this program, never from what a peer says (S70).
 */
export class Metrics {
  readonly registry = new Registry();
  readonly limits = new LimitMetrics(this.registry);
  /** Calls of the auth API and requests of the web port. */
  readonly calls = new CallMetrics(this.registry, buckets);
  /** Connections of the SSH listeners: what goes over them is counted. */
  readonly traffic = new Traffic();
  readonly issuing: IssueMeter;
  readonly storage: StorageMeter;
  readonly sessions: SessionMeter;
  readonly dials: DialMeter;
  readonly #heartbeats: Counter<"service" | "outcome">;
  readonly #readings = new Map<string, Reading>();
  #tunnels: () => ReadonlyMap<string, number> = () => new Map();

  constructor({ version }: { readonly version: string }) {
    this.issuing = this.#issuing();
    this.storage = this.#storage();
    this.sessions = this.#sessions();
    this.dials = this.#dials();
    this.#heartbeats = this.#counter(
      "teleport_heartbeats_total",
      "Heartbeats to the auth server, by whether it answered.",
      ["service", "outcome"],
    );
    const { traffic } = this;
    this.#untyped("rx", "Bytes received over the SSH listeners.", () => traffic.received);
    this.#untyped("tx", "Bytes sent over the SSH listeners.", () => traffic.sent);
    for (const [name, help] of Object.entries(readingsOf)) this.#reading(name, help, Gauge);
    this.#reading(
      "audit_failed_emit_events",
      "Audit events that a place in audit_events_uri did not keep.",
      Untyped,
    );
    const tunnels = (): ReadonlyMap<string, number> => this.#tunnels();
    new Gauge({
      name: "remote_clusters",
      help: "Tunnels at this proxy from each cluster that trusts this one.",
      labelNames: ["cluster"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [cluster, count] of tunnels()) this.set({ cluster }, count);
      },
    });
    this.#gauge("teleport_build_info", "Always 1; its label is the version.", ["version"]).set(
      { version },
      1,
    );
  }

  /** Adds what Node knows of the process: memory, CPU, descriptors, garbage collection, lag of the event loop. */
  addProcess(): void {
    const register = this.registry;
    collectDefaultMetrics({ register });
    // Lists of all handles, made at each look: too dear with thousands of connections.
    for (const { name } of register.getMetricsAsArray())
      if (name.startsWith("nodejs_active_")) register.removeSingleMetric(name);
  }

  /** Where the number with this name is to be read from now on. */
  show(name: ReadingName, reading: Reading): void {
    this.#readings.set(name, reading);
  }

  /** How many tunnels there are from each remote cluster. Only clusters that an administrator has let link themselves. */
  showTunnels(read: () => ReadonlyMap<string, number>): void {
    this.#tunnels = read;
  }

  /** Counts the heartbeats of a member, and hands them on. */
  heartbeats(service: "node" | "proxy", { good, lost }: Heartbeats): Heartbeats {
    for (const outcome of ["good", "lost"]) this.#heartbeats.inc({ service, outcome }, 0);
    const counting = (outcome: "good" | "lost", next: () => void) => (): void => {
      this.#heartbeats.inc({ service, outcome });
      next();
    };
    return { good: counting("good", good), lost: counting("lost", lost) };
  }

  #issuing(): IssueMeter {
    const all = this.#counter("auth_generate_requests_total", "Requests for certificates.");
    const throttled = this.#counter(
      "auth_generate_requests_throttled_total",
      "Requests for certificates that were refused since too many were being worked on.",
    );
    const now = this.#gauge("auth_generate_requests", "Requests for certificates being worked on.");
    const took = this.#seconds("auth_generate_seconds", "How long it took to issue certificates.");
    return {
      begun() {
        all.inc();
        now.inc();
      },
      throttled() {
        all.inc();
        throttled.inc();
      },
      done(ms) {
        now.dec();
        took.observe(ms / 1000);
      },
    };
  }

  #storage(): StorageMeter {
    const of = (word: "read" | "write") => {
      const all = this.#counter(`backend_${word}_requests_total`, `Calls of the storage that ${word}.`);
      const took = this.#seconds(
        `backend_${word}_seconds`,
        `How long calls of the storage that ${word} took.`,
      );
      return (ms: Millis): void => {
        all.inc();
        took.observe(ms / 1000);
      };
    };
    return { read: of("read"), wrote: of("write") };
  }

  #sessions(): SessionMeter {
    const all = this.#counter("teleport_node_sessions_total", "Sessions that this node began, by what ran.", [
      "kind",
    ]);
    const open = this.#gauge("teleport_node_sessions", "Sessions at this node that are open, by what runs.", [
      "kind",
    ]);
    for (const kind of sessionKinds) {
      all.inc({ kind }, 0);
      open.set({ kind }, 0);
    }
    let interactive = 0;
    this.#untyped(
      "server_interactive_sessions_total",
      "Sessions with a terminal at this node that are open.",
      () => interactive,
    );
    const count = (kind: SessionKind, by: 1 | -1): void => {
      open.inc({ kind }, by);
      if (kind === "terminal") interactive += by;
    };
    return {
      began(kind) {
        all.inc({ kind });
        count(kind, 1);
        return () => count(kind, -1);
      },
    };
  }

  #dials(): DialMeter {
    const all = this.#counter(
      "teleport_proxy_dials_total",
      "Hosts that this proxy was asked to reach, by how it went.",
      ["outcome"],
    );
    const took = this.#seconds(
      "teleport_proxy_dial_seconds",
      "How long it took to reach a host, or to fail to.",
    );
    const outcomes: readonly ("success" | FaultKind)[] = ["success", ...faultKinds];
    for (const outcome of outcomes) all.inc({ outcome }, 0);
    return (outcome, ms) => {
      all.inc({ outcome });
      took.observe(ms / 1000);
    };
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }
  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }
  #seconds(name: string, help: string): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.registry] });
  }
  #untyped(name: string, help: string, read: () => number): void {
    new Untyped({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** Nothing is said of it until something has said where it is to be read, and while that has no number. */
  #reading(name: string, help: string, Kind: typeof Gauge): void {
    const readings = this.#readings;
    new Kind({
      name,
      help,
      // Else it begins as 0.
      labelNames: ["none"],
      registers: [this.registry],
      async collect() {
        const value = await current(readings.get(name));
        if (value === undefined) this.reset();
        else this.set({}, value);
      },
    });
  }
}

/** One that cannot be read, say of a folder that is gone, does not take the others with it. */
async function current(reading: Reading | undefined): Promise<number | undefined> {
  try {
    return await reading?.();
  } catch {
    return undefined;
  }
}

const readingsOf = {
  audit_server_open_files: "Files of the audit log and of recordings that are open.",
  audit_percentage_disk_space_used: "How full the disk with the audit log is, in percent.",
  trusted_clusters: "Other clusters whose authorities this one knows.",
  teleport_mirror_connected: "1 while the local copy of the cluster's state follows the auth server, else 0.",
  teleport_recordings_waiting: "Recordings at this node that the auth server does not have yet.",
  teleport_ready: "What /readyz says: 1 for ready, else 0.",
} as const;
type ReadingName = keyof typeof readingsOf | "audit_failed_emit_events";
