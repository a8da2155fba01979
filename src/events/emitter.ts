import { z } from "zod";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Random } from "#core/random";
import { AuditEvent, type Code, type EventName } from "./schema.ts";

type Stamped = "event" | "uid" | "time" | "namespace";

/**
 * What a caller gives: the code and the fields of its event. The emitter adds the rest where it is missing, so that a
 * whole event, stamped where it happened, is a draft too and keeps its uid and time.
 */
export type Draft<E = AuditEvent> = E extends AuditEvent
  ? Omit<E, Stamped> & { [Name in Stamped]?: E[Name] }
  : never;

export interface Emitter {
  /**
   * Resolves when the event is acknowledged: what holds the log has it on disk.
   * Rejects when it could not be kept; sending it again with the same uid is safe.
   */
  emit(draft: Draft): Promise<void>;
}

/** Makes a draft a whole event: name by code, uid, time, namespace. Throws `bad_parameter`. */
export function stamp(draft: Draft, { clock, random }: { clock: Clock; random: Random }): AuditEvent {
  const now = new Date(clock.now()).toISOString();
  const got = AuditEvent.safeParse({
    uid: random.uuid(),
    time: "sid" in draft && draft.sid !== undefined ? now : now.replace(/\.\d+Z$/, "Z"),
    namespace: "default",
    ...draft,
    event: names.get(draft.code),
  });
  if (!got.success)
    throw new Fault("bad_parameter", `not an audit event (${draft.code}): ${z.prettifyError(got.error)}`);
  return got.data;
}

const names: ReadonlyMap<Code, EventName> = new Map(
  AuditEvent.options.map(({ shape }) => [shape.code.value, shape.event.value]),
);
