import type { Clock, Millis } from "#core/clock";
import { minute, second } from "#core/clock";

/** A member's heartbeats as the readiness of the process sees them (CFG-152). */
export interface Heartbeats {
  good(): void;
  lost(): void;
}

/** Why a probe is refused, and by which status (CFG-152): 400 says that it is getting better. */
export interface Refusal {
  readonly status: 400 | 503;
  readonly why: string;
}

/** After a longer standstill the process counts as unhealthy (CFG-151)... */
const blockedFor: Millis = 5 * second;
/** ...until a probe has had the time to hear of it: while it lasts none is answered. */
const toldFor: Millis = 10 * second;
const tickEvery: Millis = second;
/** How long heartbeats must be good again before the process counts as ready. */
const recoversIn: Millis = 2 * minute;

/** Whether the process does what it should: fed by its parts, read by the endpoints and by the proxy's ping. */
export class Health {
  readonly #clock: Clock;
  readonly #waiting = new Set<string>();
  /** Members that have lost a heartbeat: since when theirs are good again. */
  readonly #degraded = new Map<string, Millis | undefined>();
  #failure: string | undefined;
  /** When the event loop last turned, once that is watched. */
  #tick: Millis | undefined;
  #blockedUntil = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Names a part that must be ready before the process is. */
  expect(part: string): () => void {
    this.#waiting.add(part);
    return () => void this.#waiting.delete(part);
  }

  failed(part: string, err: Error): void {
    this.#failure ??= `${part}: ${err.message}`;
  }

  /** To be told of every heartbeat of a member, `node` say. */
  heartbeats(member: string): Heartbeats {
    return {
      good: () => {
        if (!this.#degraded.has(member)) return;
        const since = this.#degraded.get(member) ?? this.#clock.uptime();
        if (this.#clock.uptime() - since >= recoversIn) this.#degraded.delete(member);
        else this.#degraded.set(member, since);
      },
      lost: () => void this.#degraded.set(member, undefined),
    };
  }

  /** Ticks of the event loop: when they stay away, nothing is served. */
  async watchLoop(signal: AbortSignal): Promise<void> {
    this.#tick = this.#clock.uptime();
    while (!signal.aborted) {
      await this.#clock.sleep(tickEvery, signal, { background: true }).catch(() => {});
      if (this.#isBlocked) this.#blockedUntil = this.#clock.uptime();
      this.#tick = this.#clock.uptime();
    }
  }

  /** Why the process is not healthy, or undefined. */
  get illness(): string | undefined {
    if (this.#failure !== undefined) return this.#failure;
    const blocked = this.#isBlocked || this.#clock.uptime() - this.#blockedUntil < toldFor;
    return blocked ? "the event loop was blocked for over 5 s" : undefined;
  }

  /** Why it cannot be given work, or undefined. */
  get refusal(): Refusal | undefined {
    const { illness } = this;
    if (illness !== undefined) return { status: 503, why: illness };
    if (this.#waiting.size > 0)
      return { status: 503, why: `teleport is starting and waits for: ${[...this.#waiting].join(", ")}` };
    const since = [...this.#degraded.values()];
    if (since.includes(undefined))
      return { status: 503, why: "teleport is in a degraded state, check logs for details" };
    if (since.length > 0)
      return { status: 400, why: "teleport is recovering from a degraded state, check logs for details" };
    return undefined;
  }

  get #isBlocked(): boolean {
    return this.#tick !== undefined && this.#clock.uptime() - this.#tick > blockedFor + tickEvery;
  }
}
