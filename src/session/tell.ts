import type { Clock } from "#core/clock";
import type { Log } from "#core/log";
import type { Random } from "#core/random";
import { type Draft, type Emitter, stamp } from "#events";
import type { Recorder } from "./recorder.ts";

/** Who does something where, in the fields of every event. */
export interface Who {
  readonly user: string;
  readonly login: string;
  readonly server_id: string;
  readonly "addr.remote": string;
  readonly "addr.local"?: string;
}

/** What telling needs; one for a whole server. */
export interface Telling {
  readonly emitter: Emitter;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Sends an event to the audit log, and into the recording when there is one. One that cannot be kept must not end what it
 * tells of: the operator learns of it.
 */
export function tell(draft: Draft, { emitter, clock, random, log }: Telling, recorder?: Recorder): void {
  const failed = (err: unknown): void => {
    log.error("audit event was not kept", { code: draft.code, error: (err as Error).message });
  };
  try {
    const event = stamp(draft, { clock, random });
    emitter.emit(recorder ? recorder.event(event) : event).catch(failed);
  } catch (err) {
    failed(err);
  }
}
