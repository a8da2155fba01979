import type { LaggingMember } from "#contract/auth";
import { aborted } from "#core/aborted";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Service } from "#core/service";
import { type AuthorityType, type Caller, type CertAuthority, publicPart, type RotationPhase } from "#model";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";
import { newGeneration } from "./authorities.ts";
import { begins, byHand, due, proceed, type RotationWish, rotate, rotationOf } from "./phases.ts";
import { behind, cutOff, rotatingMembers } from "./rotating-members.ts";

/** The clock may be set while we wait, and the due time must not be missed by more than this (ROT-09). */
const lookEvery: Millis = second;
/** How often a step is tried again because another auth server was faster. */
const attempts = 10;

type Asked = RotationWish & { readonly types: readonly AuthorityType[] };

/** What a request to the auth API asks for. */
export function rotationWish(request: {
  readonly types: readonly AuthorityType[];
  readonly grace_period: Millis;
  readonly phase?: RotationPhase | undefined;
}): Asked {
  const { grace_period: gracePeriod, phase } = request;
  const types = [...new Set(request.types)];
  return phase ? { types, mode: "manual", gracePeriod, phase } : { types, mode: "auto", gracePeriod };
}

/** The authorities as this auth server knows them; calls back when they have changed, and the answer stops it. */
interface Known {
  authorities(): readonly CertAuthority[];
  onAuthorities(listener: () => void): () => void;
}

/** The rotations of the cluster's own authorities (ROT-01 to ROT-13). Every step is one commit: of all or of nothing. */
export class Rotations {
  readonly #parts: Parts;
  readonly #state: Known;

  constructor(parts: Parts, state: Known) {
    this.#parts = parts;
    this.#state = state;
  }

  /** Takes the step that somebody asks for, with both authorities at once. Throws `compare_failed` where there is no such step now. */
  async rotate(asked: Asked, caller: Caller): Promise<CertAuthority[]> {
    const moment = { now: this.#parts.clock.now(), id: this.#parts.random.uuid() };
    const made = new Map<AuthorityType, Awaited<ReturnType<typeof newGeneration>>>();
    try {
      const changed = await this.#change(asked.types, async (ca) => {
        const { type } = ca.spec;
        if (begins(ca, asked) && !made.has(type)) made.set(type, await newGeneration(this.#parts));
        const fresh = made.get(type)?.keys ?? { checking_keys: [], signing_keys: [], tls_key_pairs: [] };
        return rotate(ca, asked, { ...moment, fresh });
      });
      for (const { spec } of changed) {
        const print = made.get(spec.type)?.print;
        if (print) await record(this.#parts, { code: "T4020I", kind: spec.type, fingerprint: print });
      }
      await this.#tell(changed, caller.name);
      return changed.map(publicPart);
    } catch (err) {
      const error = err instanceof Fault ? err.message : "internal error";
      const wanted = asked.mode === "manual" ? asked.phase : "init";
      for (const kind of asked.types)
        await record(this.#parts, {
          code: "T4150W",
          user: caller.name,
          kind,
          phase: wanted,
          success: false,
          error,
        });
      throw err;
    }
  }

  /** Whom such a rotation, or the end of the one under way, would cut off as things are. Changes nothing; throws as `rotate`. */
  async rehearse(asked: Asked): Promise<LaggingMember[]> {
    const { store } = this.#parts;
    if (!asked.types.includes("host")) return [];
    const host = await store.authorities.get(this.#name("host"));
    const members = await rotatingMembers(store);
    if (asked.mode === "auto" && rotationOf(host).state === "in_progress")
      return cutOff(members, host, "end");
    const fresh = { checking_keys: ["-"], signing_keys: ["-"], tls_key_pairs: [{ cert: "-", key: "-" }] };
    const now = this.#parts.clock.now();
    const { state } = rotationOf(rotate(host, asked, { now, id: "-", fresh }));
    if (state === "in_progress") return cutOff(members, host, "step");
    return cutOff(members, host, asked.mode === "auto" ? "replace" : "end");
  }

  /** Who does not yet serve the phase of a rotation under way. */
  async behind(authorities: readonly CertAuthority[]): Promise<LaggingMember[]> {
    const own = authorities.filter(({ spec }) => spec.cluster_name === this.#parts.clusterName);
    if (own.every(({ spec }) => spec.rotation?.state !== "in_progress")) return [];
    return behind(await rotatingMembers(this.#parts.store), own);
  }

  /** Takes the steps that are due (ROT-09). Any number of auth servers may do so at once: one of them is first. */
  get service(): Service {
    const { clock } = this.#parts;
    return {
      name: "rotation",
      run: async (signal, ready) => {
        let changed = new AbortController();
        const leave = this.#state.onAuthorities(() => changed.abort());
        ready();
        while (!signal.aborted) {
          changed = new AbortController();
          const next = this.#due();
          if (next && next.at <= clock.now()) await this.#proceed(next.ca.spec.type);
          const soon = next ? Math.min(Math.max(next.at - clock.now(), 0), lookEvery) : undefined;
          const wake = AbortSignal.any([signal, changed.signal]);
          if (soon === undefined) await aborted(wake);
          // Until the storage says what has become of the step, it would only be tried again.
          else await clock.sleep(soon || lookEvery / 4, wake, { background: true }).catch(() => {});
        }
        leave();
      },
    };
  }

  /** The first step to come. */
  #due(): { readonly ca: CertAuthority; readonly at: Millis } | undefined {
    const { clusterName } = this.#parts;
    const coming = this.#state.authorities().flatMap((ca) => {
      const next = ca.spec.cluster_name === clusterName ? due(ca) : undefined;
      return next ? [{ ca, at: next.at }] : [];
    });
    return coming.sort((a, b) => a.at - b.at)[0];
  }

  async #proceed(type: AuthorityType): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      const changed = await this.#change([type], (ca) => {
        const next = due(ca);
        // Another auth server has taken the step.
        return next && next.at <= clock.now() ? proceed(ca, clock.now()) : undefined;
      });
      await this.#tell(changed);
    } catch (err) {
      const error = err instanceof Error ? err.message : String(err);
      // The storage will be back, and the step is due still.
      if (Fault.is(err, "unreachable")) return log.warn("a step of a rotation has to wait", { type, error });
      log.error("a step of a rotation failed: from now on it goes on by hand", { type, error });
      await this.#handOver(type, error);
    }
  }

  /** Nobody knows what the step has left: an administrator decides how it goes on (ROT-07). */
  async #handOver(type: AuthorityType, error: string): Promise<void> {
    const { log } = this.#parts;
    const phase = this.#state.authorities().find(({ spec }) => spec.type === type)?.spec.rotation?.phase;
    await record(this.#parts, {
      code: "T4150W",
      kind: type,
      phase: phase ?? "standby",
      success: false,
      error,
    });
    await this.#change([type], (ca) => (due(ca) ? byHand(ca) : undefined)).catch((err: Error) =>
      log.error("the rotation could not be handed over", { type, error: err.message }),
    );
  }

  /** Changes authorities in one commit; those for which `next` is undefined stay as they are. Answers the changed ones. */
  async #change(
    types: readonly AuthorityType[],
    next: (ca: CertAuthority) => CertAuthority | undefined | Promise<CertAuthority>,
  ): Promise<CertAuthority[]> {
    const { authorities, backend } = this.#parts.store;
    for (let attempt = 0; attempt < attempts; attempt++) {
      const changed: CertAuthority[] = [];
      const conditions: Parameters<typeof backend.commit>[1] & object[] = [];
      for (const type of types) {
        const found = await authorities.findVersioned(this.#name(type));
        if (!found) throw new Fault("internal", `the cluster has no ${type} CA`);
        const value = await next(found.value);
        if (!value) continue;
        changed.push(value);
        conditions.push({ key: authorities.key(this.#name(type)), revision: found.revision });
      }
      if (changed.length === 0) return [];
      try {
        await backend.commit(
          changed.map((ca) => authorities.putting(ca)),
          conditions,
        );
        return changed;
      } catch (err) {
        if (!Fault.is(err, "compare_failed")) throw err;
      }
    }
    throw new Fault("limit_exceeded", "the authorities are changed by too many at once; try again");
  }

  async #tell(changed: readonly CertAuthority[], user?: string): Promise<void> {
    for (const ca of changed) {
      const { phase, state, mode } = rotationOf(ca);
      this.#parts.log.info("rotation", { type: ca.spec.type, phase, state, by: user ?? "schedule" });
      await record(this.#parts, {
        code: "T4021I",
        ...(user !== undefined && { user }),
        kind: ca.spec.type,
        phase,
        state,
        ...(mode && { mode }),
      });
    }
  }

  #name(type: AuthorityType): string {
    return `${type}/${this.#parts.clusterName}`;
  }
}
