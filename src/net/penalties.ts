import { type Clock, type Millis, minute, second } from "#core/clock";

/** How a connection that did not end in a login came to its end. */
export type Failure = "refused" | "late" | "broken" | "left";

/** What failures cost their source. A debt melts by a second a second; from `blockFrom` on, the source is blocked. */
export interface PenaltyRules {
  /** Tried to log in, and was not let in. A login that succeeds takes off as much. */
  readonly refused: Millis;
  /** Did not log in within the time there is for it. */
  readonly late: Millis;
  /** Did not keep to the protocol. */
  readonly broken: Millis;
  /** Began to speak SSH, and left without trying to log in. */
  readonly left: Millis;
  readonly blockFrom: Millis;
  readonly blockAtMost: Millis;
  /** Sources that are remembered; beyond it, those of longest ago are forgotten. */
  readonly maxSources: number;
}

/** Mild, since many users may share a source: it takes more than one bad login a second to be blocked by them. */
export const defaultPenalties: PenaltyRules = {
  refused: second,
  late: 10 * second,
  broken: 5 * second,
  left: second,
  blockFrom: minute,
  blockAtMost: 10 * minute,
  maxSources: 65_536,
};

interface Debt {
  readonly until: Millis;
  readonly blocked: boolean;
}

/** Who may not come in for a while, after OpenSSH's PerSourcePenalties. Memory is bounded. */
export class Penalties {
  readonly #rules: PenaltyRules;
  readonly #clock: Clock;
  /** In the order in which they were last added to. */
  readonly #debts = new Map<string, Debt>();

  constructor(rules: PenaltyRules, clock: Clock) {
    this.#rules = rules;
    this.#clock = clock;
  }

  blocks(source: string): boolean {
    const debt = this.#debts.get(source);
    return debt?.blocked === true && debt.until > this.#clock.uptime();
  }

  /** Sources that have something to answer for, or had until not long ago. */
  get size(): number {
    return this.#debts.size;
  }

  /** True when this failure is the one that gets its source blocked. */
  add(source: string, failure: Failure): boolean {
    const cost = this.#rules[failure];
    if (cost <= 0) return false;
    const { blockFrom, blockAtMost } = this.#rules;
    const now = this.#clock.uptime();
    const before = this.#debts.get(source);
    const wasBlocked = this.blocks(source);
    const until = Math.min(Math.max(now, before?.until ?? now) + cost, now + blockAtMost);
    const blocked = wasBlocked || until - now >= blockFrom;
    this.#debts.delete(source);
    if (this.#debts.size >= this.#rules.maxSources) this.#forget(now);
    this.#debts.set(source, { until, blocked });
    return blocked && !wasBlocked;
  }

  /** A login that succeeded. It does not unblock: whoever is inside already could otherwise let others in. */
  forgive(source: string): void {
    const debt = this.#debts.get(source);
    if (!debt || this.blocks(source)) return;
    const until = debt.until - this.#rules.refused;
    if (until <= this.#clock.uptime()) this.#debts.delete(source);
    else this.#debts.set(source, { until, blocked: false });
  }

  /** Drops what has melted; when a flood left nothing melted, the oldest: better to be generous than to grow. */
  #forget(now: Millis): void {
    for (const [source, { until }] of this.#debts) if (until <= now) this.#debts.delete(source);
    let excess = this.#debts.size - Math.floor(this.#rules.maxSources * 0.9);
    for (const source of this.#debts.keys()) {
      if (excess-- <= 0) break;
      this.#debts.delete(source);
    }
  }
}
