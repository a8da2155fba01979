import type { Millis } from "#core/clock";
import type { AuditEvent } from "#events";

/** What to look for. All of it must hold; what is absent does not matter. */
export interface Query {
  /** Both ends included. */
  readonly from: Millis;
  readonly to: Millis;
  /** Names of events, any of them, such as `session.start`. */
  readonly events?: readonly string[];
  readonly user?: string;
  readonly sid?: string;
  /** At most so many; 500 by default, 10 000 at most. */
  readonly limit?: number;
}

export interface Found {
  /** Newest first. */
  readonly events: readonly AuditEvent[];
  /** There are older ones that match too. */
  readonly more: boolean;
  /** Lines in the time searched that could not be read: cut off, or written by a newer version. */
  readonly unreadable: number;
}

/** One place that keeps audit events. */
export interface EventStore extends AsyncDisposable {
  /** For messages to the operator. */
  readonly uri: string;
  /** How many files of it are open, where it has files. */
  readonly openFiles?: number;
  /** Resolves when the event is kept as safely as this place can. */
  append(event: AuditEvent): Promise<void>;
  /** Absent where events only go in. */
  search?(query: Query): Promise<Found>;
  /** The uids of those of the events that are kept already, as safely as if they had just been appended. */
  kept?(events: readonly AuditEvent[]): Promise<ReadonlySet<string>>;
}

/** How many events a query may bring. */
export const limitOf = ({ limit = 500 }: Query): number => Math.min(Math.max(Math.trunc(limit), 0), 10_000);
