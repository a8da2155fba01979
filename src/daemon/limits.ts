import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Config } from "#config";
import type { Millis } from "#core/clock";
import type { Log } from "#core/log";
import { Gate, gateRefusals, inRanges, RequestRates } from "#net";
import { type ConnectionLimits, connectionLimits } from "#ssh";
import type { World } from "./world.ts";

const outcomes = ["success", "refused", "late", "broken", "left"] as const;
/** The SSH listeners: labels come from here and from the other lists of names only, never from what a peer says. */
export type DoorName = "proxy" | "node" | "tunnel";

/** Limits reached by clients that have logged in. */
const limitNames = [...connectionLimits, "sessions", "users"] as const;
export type LimitName = (typeof limitNames)[number];

/** What the limits of the SSH listeners do, for `/metrics`. All series exist from the start, so that a rate is seen. */
export class LimitMetrics {
  readonly #refused: Counter;
  readonly #logins: Counter;
  readonly #reached: Counter;
  readonly #loginSeconds: Histogram;
  readonly #gates = new Map<DoorName, Gate>();

  constructor(registry: Registry) {
    const registers = [registry];
    this.#refused = new Counter({
      name: "teleport_ssh_connections_refused_total",
      help: "Connections turned away before a byte was read, by the limit that was reached.",
      labelNames: ["service", "reason"],
      registers,
    });
    this.#logins = new Counter({
      name: "teleport_ssh_logins_total",
      help: "How connections came out of the login: in, refused, late, broken protocol, or left before they tried.",
      labelNames: ["service", "outcome"],
      registers,
    });
    this.#reached = new Counter({
      name: "teleport_ssh_limit_reached_total",
      help: "How often a connection that had logged in reached a limit.",
      labelNames: ["service", "limit"],
      registers,
    });
    this.#loginSeconds = new Histogram({
      name: "teleport_ssh_login_seconds",
      help: "Time from the connection to the end of the login, however it came out.",
      labelNames: ["service"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
      registers,
    });
    const gauge = (name: string, help: string, read: (gate: Gate) => number): void => {
      const gates = this.#gates;
      new Gauge({
        name,
        help,
        labelNames: ["service"],
        registers,
        collect() {
          for (const [service, gate] of gates) this.set({ service }, read(gate));
        },
      });
    };
    gauge("teleport_ssh_connections", "Open connections.", (gate) => gate.connections);
    gauge(
      "teleport_ssh_connections_unauthenticated",
      "Open connections that have not logged in.",
      (gate) => gate.unauthenticated,
    );
    gauge("teleport_ssh_penalized_sources", "Sources with a penalty.", (gate) => gate.penalized);
  }

  /** Shows a gate's numbers; answers what counts its decisions. */
  of(service: DoorName) {
    for (const reason of gateRefusals) this.#refused.inc({ service, reason }, 0);
    for (const outcome of outcomes) this.#logins.inc({ service, outcome }, 0);
    this.#loginSeconds.zero({ service });
    for (const limit of limitNames) this.#reached.inc({ service, limit }, 0);
    return {
      onRefused: (reason: (typeof gateRefusals)[number]) => this.#refused.inc({ service, reason }),
      onLogin: (outcome: (typeof outcomes)[number], took: Millis) => {
        this.#logins.inc({ service, outcome });
        this.#loginSeconds.observe({ service }, took / 1000);
      },
      onLimit: (limit: LimitName) => this.#reached.inc({ service, limit }),
      show: (gate: Gate) => void this.#gates.set(service, gate),
    };
  }
}

/** `connection_limits.rates` for one listener: each counts for itself (CFG-19). */
export const requestRates = ({ teleport }: Config, { clock }: Pick<World, "clock">): RequestRates =>
  new RequestRates(teleport.connection_limits.rates, clock);

/** The limits of one SSH listener as the configuration has them (CFG-17, CFG-18, SSH-09), each with its metric. */
export function sshLimits(
  service: DoorName,
  config: Config,
  { clock, random, metrics }: World,
  log: Log,
  /** Addresses that bring other people's connections, beside those of the configuration. */
  bringsOthers: (address: string) => boolean = () => false,
) {
  const own = config.teleport.connection_limits;
  const rates = requestRates(config, { clock });
  const { penalties } = own;
  const meter = metrics.limits.of(service);
  const isExempt = inRanges(penalties.exempt);
  const gate = new Gate({
    maxConnections: own.max_connections,
    unauthenticated: own.max_unauthenticated,
    unauthenticatedPerSource: own.max_unauthenticated_per_source,
    netblock: own.source_netblock,
    penalties: penalties.enabled && {
      refused: penalties.refused,
      late: penalties.late,
      broken: penalties.broken,
      left: penalties.left,
      blockFrom: penalties.block_from,
      blockAtMost: penalties.block_at_most,
      maxSources: penalties.max_sources,
    },
    isExempt: (address) => isExempt(address) || bringsOthers(address),
    // A proxy brings everybody; it has counted them by their own addresses.
    isWithinRate: (address) => bringsOthers(address) || rates.allows(address),
    onRefused: meter.onRefused,
    onLogin: meter.onLogin,
    clock,
    random,
    log,
  });
  meter.show(gate);
  const limits: ConnectionLimits = {
    maxChannels: own.max_channels,
    maxBuffered: own.max_buffered,
    maxRequests: own.max_requests,
    onLimit: meter.onLimit,
  };
  return {
    gate,
    login: { loginGrace: own.login_grace, maxAuthTries: own.max_auth_tries, limits },
    maxSessions: own.max_sessions,
    maxUsers: own.max_users,
    onLimit: meter.onLimit,
  };
}
