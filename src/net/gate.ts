import { type Clock, type Millis, second } from "#core/clock";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import { defaultPenalties, type Failure, Penalties, type PenaltyRules } from "./penalties.ts";
import { defaultNetblock, type Netblock, sourceOf } from "./source.ts";

/** OpenSSH's MaxStartups: from `start` on, `rate` percent are refused, rising to all at `full`. */
export interface Startups {
  readonly start: number;
  readonly rate: number;
  readonly full: number;
}

/** Why a connection was turned away at the gate. */
export const gateRefusals = [
  "connections_per_source",
  "unauthenticated",
  "unauthenticated_per_source",
  "penalty",
  "rate",
] as const;
export type GateRefusal = (typeof gateRefusals)[number];

/** One connection that was let through the gate and has yet to log in. Told at most once how that went. */
export interface Guest {
  loggedIn(): void;
  failed(how: Failure): void;
}

export interface GateOptions {
  /** Connections that one source may have, logged in or not (CFG-17). */
  readonly maxConnections: number;
  /** Connections that have not logged in, of all sources. */
  readonly unauthenticated?: Startups;
  /** And of one. */
  readonly unauthenticatedPerSource?: number;
  readonly netblock?: Netblock;
  /** Undefined: the defaults; false: none. */
  readonly penalties?: PenaltyRules | false;
  /**
   * Addresses whose failures are not held against them: those that bring other people's connections. They are known by
   * the socket, never by what is said on it.
   */
  readonly isExempt?: (address: string) => boolean;
  /** Whether a source may make another connection now, counting it. */
  readonly isWithinRate?: (address: string) => boolean;
  readonly onRefused?: (why: GateRefusal) => void;
  readonly onLogin?: (outcome: "success" | Failure, took: Millis) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Far above what people do; one source cannot fill the whole, so that a flood from one leaves room for others. */
const defaultUnauthenticated: Startups = { start: 1000, rate: 30, full: 3000 };
const defaultUnauthenticatedPerSource = 500;

/** A flood is told to the operator this often, with how many there were. */
const quiet: Millis = 10 * second;

interface Counted {
  connections: number;
  unauthenticated: number;
}

/** Who may come in: counts connections by source before anybody has said who they are. One a listener. */
export class Gate {
  readonly #options: GateOptions;
  readonly #startups: Startups;
  readonly #perSource: number;
  readonly #penalties: Penalties | undefined;
  readonly #sources = new Map<string, Counted>();
  /** When a refusal was last logged, and how many were not since. */
  readonly #told = new Map<GateRefusal, { at: Millis; untold: number }>();
  #connections = 0;
  #unauthenticated = 0;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#startups = options.unauthenticated ?? defaultUnauthenticated;
    this.#perSource = options.unauthenticatedPerSource ?? defaultUnauthenticatedPerSource;
    const { penalties = defaultPenalties } = options;
    this.#penalties = penalties === false ? undefined : new Penalties(penalties, options.clock);
  }

  get connections(): number {
    return this.#connections;
  }
  get unauthenticated(): number {
    return this.#unauthenticated;
  }
  /** Sources with a debt. */
  get penalized(): number {
    return this.#penalties?.size ?? 0;
  }

  /** Lets one connection in, or says why not. `leave` is to be called when it has closed. */
  enter(address: string): { readonly guest: Guest; readonly leave: () => void } | GateRefusal {
    const source = sourceOf(address, this.#options.netblock ?? defaultNetblock);
    const exempt = this.#options.isExempt?.(address) ?? false;
    const why = this.#objection(source, exempt) ?? (this.#isWithinRate(address) ? undefined : "rate");
    if (why) {
      this.#options.onRefused?.(why);
      this.#tell(why, source);
      return why;
    }
    const counted = this.#sources.get(source) ?? { connections: 0, unauthenticated: 0 };
    this.#sources.set(source, counted);
    this.#count(counted, 1, 1);
    const began = this.#options.clock.uptime();
    let waits = true;
    const decided = (outcome: "success" | Failure | undefined): void => {
      if (!waits) return;
      waits = false;
      this.#count(counted, 0, -1);
      if (!outcome) return;
      this.#options.onLogin?.(outcome, this.#options.clock.uptime() - began);
      if (!exempt) this.#judge(source, outcome);
    };
    let here = true;
    return {
      guest: { loggedIn: () => decided("success"), failed: decided },
      leave: () => {
        if (!here) return;
        here = false;
        decided(undefined);
        this.#count(counted, -1, 0);
        if (counted.connections === 0) this.#sources.delete(source);
      },
    };
  }

  #objection(source: string, exempt: boolean): GateRefusal | undefined {
    const counted = this.#sources.get(source);
    if (!exempt && this.#penalties?.blocks(source)) return "penalty";
    if (counted && counted.connections >= this.#options.maxConnections) return "connections_per_source";
    if (counted && counted.unauthenticated >= this.#perSource) return "unauthenticated_per_source";
    return this.#isDropped() ? "unauthenticated" : undefined;
  }

  #isWithinRate(address: string): boolean {
    return this.#options.isWithinRate?.(address) ?? true;
  }

  /** The random early drop: some come in even in a flood, and nobody can say which. */
  #isDropped(): boolean {
    const { start, rate, full } = this.#startups;
    const now = this.#unauthenticated;
    if (now < start) return false;
    if (now >= full || rate >= 100) return true;
    const percent = rate + ((100 - rate) * (now - start)) / (full - start);
    return this.#options.random.fraction() * 100 < percent;
  }

  #judge(source: string, outcome: "success" | Failure): void {
    if (outcome === "success") this.#penalties?.forgive(source);
    else if (this.#penalties?.add(source, outcome))
      this.#options.log.warn("a source is blocked for a while, for its failed connections", { source });
  }

  #count(counted: Counted, connections: number, unauthenticated: number): void {
    counted.connections += connections;
    counted.unauthenticated += unauthenticated;
    this.#connections += connections;
    this.#unauthenticated += unauthenticated;
  }

  #tell(why: GateRefusal, source: string): void {
    const now = this.#options.clock.uptime();
    const told = this.#told.get(why);
    if (told && now - told.at < quiet) {
      told.untold++;
      return;
    }
    this.#told.set(why, { at: now, untold: 0 });
    const more = told && told.untold > 0 ? { more: told.untold } : {};
    this.#options.log.warn("a connection was turned away", { why, source, ...more });
  }
}
