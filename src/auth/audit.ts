import type { Millis } from "#core/clock";
import type { Log } from "#core/log";
import type { AuditEvent, Draft, Emitter } from "#events";
import type { RecordingEvent } from "#recording";

/** What the auth service asks of the audit log: it keeps events and recordings, and finds them again. */
export interface AuditLog extends Emitter {
  /** Events that may have been kept before; those that were are passed over. Otherwise as `emit` of each. */
  emitAgain(events: readonly AuditEvent[]): Promise<void>;
  /** Newest first is not promised: in order of time, `limit` at most. */
  search(query: {
    readonly from: Millis;
    readonly to: Millis;
    readonly events: readonly string[];
    readonly limit: number;
  }): Promise<AuditEvent[]>;
  readonly recordings: Recordings;
}

export interface Recordings {
  /** How many bytes of the file are safe. */
  offset(sid: string, file: "bytes" | "log"): Promise<number>;
  upload(
    at: { sid: string; file: "bytes" | "log"; offset: number },
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ size: number }>;
  /** Makes a recording final when its files have these digests. `check` sees every event in it first, and may throw. */
  finish(
    sid: string,
    sha256: { bytes: string; log: string },
    check: (event: RecordingEvent) => void,
  ): Promise<void>;
  read(sid: string, file: "bytes" | "log", offset: number, length: number): Promise<Uint8Array>;
}

/**
 * Writes an event of the auth service's own. What it tells has happened already, so a log that cannot be written is
 * the operator's alarm, not a reason to undo it.
 */
export async function record(parts: { audit: Emitter; log: Log }, draft: Draft): Promise<void> {
  try {
    await parts.audit.emit(draft);
  } catch (err) {
    parts.log.error("an audit event could not be kept", {
      code: draft.code,
      error: err instanceof Error ? err.message : String(err),
    });
  }
}
