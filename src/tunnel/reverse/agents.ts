import type { Duplex } from "node:stream";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Random } from "#core/random";
import type { Service } from "#core/service";
import { Agent, type AgentOptions } from "./agent.ts";

/** Between two attempts, growing (TUN-14). */
const pauseFrom: Millis = 1 * second;
const pauseTo: Millis = 30 * second;
/** How often a balancer may lead to where there is a tunnel already, before it is tried as seldom as what does not answer. */
const triesOfBalancer = 12;

export interface AgentsOptions extends Omit<AgentOptions, "onDiscovery" | "onLeaving"> {
  /** Connects to the target's tunnel address; asked anew for every attempt, so that each may take another address of its name. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  /** Calls back when this proxy has another certificate; the answer stops it. */
  readonly onRenewed: (listener: () => void) => () => void;
  /** Aborts when another process is to serve in the place of this one: it calls by itself. */
  readonly leaving: AbortSignal;
  readonly random: Pick<Random, "fraction">;
}

/**
 * Tunnels to every proxy of one trusted cluster (TUN-04): calls until each that the cluster announces has been reached, through a
 * balancer too, calls again what was lost, and changes over to a new certificate without ending what runs.
 */
export class Agents implements Service {
  readonly name: string;
  readonly #options: AgentsOptions;
  readonly #agents = new Set<Agent>();
  /** Host ids; undefined before the first word of it. */
  #announced: readonly string[] | undefined;
  #changed = new AbortController();
  #trouble: string | undefined;
  #up = false;
  /** Grows with each certificate. */
  #generation = 0;

  constructor(options: AgentsOptions) {
    this.#options = options;
    this.name = `tunnels to ${options.target}`;
  }

  /** How many are up. */
  get count(): number {
    return this.#agents.size;
  }

  async run(signal: AbortSignal, ready: () => void): Promise<void> {
    const { clock, leaving, random, onRenewed } = this.#options;
    ready();
    const stopRenewing = onRenewed(() => this.#renew());
    const leave = (): void => {
      for (const agent of this.#agents) agent.leave();
    };
    leaving.addEventListener("abort", leave, { once: true });
    const until = AbortSignal.any([signal, leaving]);
    let pause = pauseFrom;
    let inRow = 0;
    while (!until.aborted) {
      this.#changed = new AbortController();
      if (!this.#isMissing()) {
        pause = pauseFrom;
        await clock
          .sleep(forEver, AbortSignal.any([until, this.#changed.signal]), { background: true })
          .catch(() => {});
        continue;
      }
      // The tunnels that are up are not ended by the end of calling.
      const outcome = await this.#call(signal, until);
      if (outcome === "new") pause = pauseFrom;
      inRow = outcome === "known" ? inRow + 1 : 0;
      if (inRow > 0 && inRow < triesOfBalancer) pause = pauseFrom;
      if (!this.#isMissing() || until.aborted) continue;
      const wait = pause * (0.75 + 0.5 * random.fraction());
      await clock.sleep(wait, until, { background: true }).catch(() => {});
      pause = Math.min(pause * 2, pauseTo);
    }
    await Promise.all(Array.from(this.#agents, (agent) => agent.closed));
    leaving.removeEventListener("abort", leave);
    stopRenewing();
  }

  /** Tells all of the target's proxies what this cluster says of its authorities. */
  async tell(): Promise<void> {
    const statement = await this.#options.statement();
    if (statement !== undefined) for (const agent of this.#agents) agent.tell(statement);
  }

  #reached(): Set<string> {
    return new Set([...this.#agents].filter(({ leaving }) => !leaving).map(({ hostId }) => hostId));
  }

  #isMissing(): boolean {
    const reached = this.#reached();
    return reached.size === 0 || (this.#announced ?? []).some((id) => !reached.has(id));
  }

  /** One attempt: it came to a proxy that there was no tunnel to, to one that there is, or to nothing. */
  async #call(signal: AbortSignal, until: AbortSignal): Promise<"new" | "known" | "none"> {
    const { dial, target, log, leaving } = this.#options;
    const generation = this.#generation;
    try {
      const stream = await dial(until);
      const before = this.#reached();
      let own: Agent | undefined;
      const agent = await Agent.call(
        stream,
        {
          ...this.#options,
          onDiscovery: (proxies) => {
            this.#announced = proxies;
            this.#changed.abort();
          },
          onLeaving: () => {
            // The other end leaves, or this one has another certificate: the same proxy is called anew.
            if (own) this.#changed.abort();
          },
        },
        signal,
      );
      if (before.has(agent.hostId)) {
        agent.end();
        return "known";
      }
      own = agent;
      this.#agents.add(agent);
      // What was said to all others meanwhile holds for this one too.
      if (leaving.aborted || generation !== this.#generation) agent.leave();
      void agent.closed.then((reason) => this.#lost(agent, reason, signal));
      this.#trouble = undefined;
      if (!this.#up) log.info("connected to the trusted cluster", { cluster: target, proxy: agent.hostId });
      this.#up = true;
      return "new";
    } catch (err) {
      if (!until.aborted) this.#report(err);
      return "none";
    }
  }

  #lost(agent: Agent, reason: Error | undefined, signal: AbortSignal): void {
    this.#agents.delete(agent);
    const { target, log } = this.#options;
    if (this.#agents.size === 0) {
      this.#up = false;
      // What the cluster looks like then is told by the first that is reached again.
      this.#announced = undefined;
      if (!signal.aborted)
        log.warn("lost the connection to the trusted cluster", {
          cluster: target,
          ...(reason && { error: reason.message }),
        });
    }
    this.#changed.abort();
  }

  /** Once for each reason, however often it is met. */
  #report(err: unknown): void {
    const { target, log } = this.#options;
    const why = err instanceof Fault ? err.message : ((err as Error).stack ?? String(err));
    if (why === this.#trouble) return;
    this.#trouble = why;
    log.warn("cannot connect to the trusted cluster, will go on trying", { cluster: target, error: why });
  }

  #renew(): void {
    this.#generation++;
    for (const agent of this.#agents) if (!agent.leaving) agent.leave();
    this.#changed.abort();
  }
}

/** Until something changes. */
const forEver: Millis = 24 * 3600 * second;
