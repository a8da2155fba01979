import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import { type AuditEvent, type Draft, type Emitter, stamp } from "#events";
import type { Destination } from "./destination.ts";
import { EventFiles } from "./event-files.ts";
import { LineEvents } from "./line-events.ts";
import type { EventStore, Found, Query } from "./store.ts";

interface Parts {
  /** All places each event goes to; the first that can be searched answers searches. */
  readonly stores: readonly EventStore[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface World extends Omit<Parts, "stores"> {
  /** Group that may read the files, see `admGroup`. */
  readonly group?: number;
  /** Writes a line to the standard output of the program. */
  readonly stdout: (line: string) => Promise<void>;
}

/** Opens all the places that `audit_events_uri` names. */
export async function openAuditLog(destinations: readonly Destination[], world: World): Promise<AuditLog> {
  const stores: EventStore[] = [];
  for (const to of destinations)
    stores.push(
      to.scheme === "file" ? await EventFiles.open(to.folder, world) : new LineEvents(world.stdout),
    );
  return new AuditLog({ ...world, stores });
}

/** Far more than a member sends between a lost connection and the next. */
const mostRepeated = 20_000;

/**
 * The cluster's audit log. It speaks for one of its places, the first that can be searched (else the first): an event is
 * acknowledged when that one has it. A failure of another is reported and counted, and stops nothing.
 */
export class AuditLog implements Emitter, AsyncDisposable {
  readonly #parts: Parts;
  readonly #main: EventStore;
  #failures = 0;
  /** By uid. */
  readonly #underWay = new Map<string, Promise<void>>();
  #again: Promise<void> = Promise.resolve();
  /** Uids of events that were brought again, the last of them: the first sending of one may still be on its way, and come after. */
  readonly #repeated = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
    const main = parts.stores.find((store) => store.search) ?? parts.stores[0];
    if (!main) throw new Fault("bad_parameter", "audit_events_uri names no place for audit events");
    this.#main = main;
  }

  async emit(draft: Draft): Promise<void> {
    const event = stamp(draft, this.#parts);
    if (this.#repeated.has(event.uid)) await this.#underWay.get(event.uid);
    else await this.#keepOnce(event);
  }

  async #keepOnce(event: AuditEvent): Promise<void> {
    const kept = this.#keep(event);
    this.#underWay.set(event.uid, kept);
    try {
      await kept;
    } finally {
      this.#underWay.delete(event.uid);
    }
  }

  /**
   * For events that may have been emitted before: those that are being kept at this moment, or are kept, are not kept twice.
   * Places that cannot tell may have them twice. Rejects when one could not be kept.
   */
  emitAgain(events: readonly AuditEvent[]): Promise<void> {
    // One after the other: two of the same would both find that nothing is kept yet.
    const turn = this.#again.then(() => this.#emitAgain(events));
    this.#again = turn.catch(() => {});
    return turn;
  }

  async #emitAgain(events: readonly AuditEvent[]): Promise<void> {
    await Promise.allSettled(events.map(({ uid }) => this.#underWay.get(uid)));
    const kept = (await this.#main.kept?.(events)) ?? new Set();
    for (const { uid } of events) this.#repeated.add(uid);
    try {
      await Promise.all(events.filter(({ uid }) => !kept.has(uid)).map((event) => this.#keepOnce(event)));
    } catch (err) {
      for (const { uid } of events) this.#repeated.delete(uid);
      throw err;
    }
    for (const uid of this.#repeated) {
      if (this.#repeated.size <= mostRepeated) break;
      this.#repeated.delete(uid);
    }
  }

  async #keep(event: AuditEvent): Promise<void> {
    const { stores, log } = this.#parts;
    const results = await Promise.allSettled(stores.map((store) => store.append(event)));
    let refused: { reason: unknown } | undefined;
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") continue;
      this.#failures++;
      const error = result.reason instanceof Error ? result.reason.message : String(result.reason);
      log.error("audit event not kept", { uri: stores[i]?.uri, code: event.code, error });
      if (stores[i] === this.#main) refused = result;
    }
    if (refused) throw refused.reason;
  }

  /** Throws `bad_parameter` when events go only to places that cannot be searched. */
  async search(query: Query): Promise<Found> {
    if (!this.#main.search)
      throw new Fault(
        "bad_parameter",
        "none of the places in audit_events_uri can be searched; add one with file:///path",
      );
    return this.#main.search(query);
  }

  /** How often a place failed to keep an event since the start. */
  get failures(): number {
    return this.#failures;
  }

  get openFiles(): number {
    return this.#parts.stores.reduce((sum, { openFiles = 0 }) => sum + openFiles, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#parts.stores.map((store) => store[Symbol.asyncDispose]()));
  }
}
