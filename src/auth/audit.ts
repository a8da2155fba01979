import type { Millis } from "#core/clock";
import type { Log } from "#core/log";
import type { AuditEvent, Draft, Emitter } from "#events";
import type { RecordingEvent } from "#recording";

/** What the auth service asks of the audit log: to keep events and find them again. */
export interface AuditLog extends Emitter {
  search(query: {
    readonly from: Millis;
    readonly to: Millis;
    readonly events?: readonly string[];
    readonly limit?: number;
  }): Promise<{ readonly events: readonly AuditEvent[] }>;
}

/** What it asks of the store of recordings; `sid` is a UUID, digests are hex SHA-256. */
export interface Recordings {
  /** How many bytes of the file have arrived. */
  received(sid: string, file: RecordingFile): Promise<number>;
  /** Takes more of a file, from `offset` on; returns how much there is then. */
  receive(
    sid: string,
    file: RecordingFile,
    offset: number,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<number>;
  /** Makes the recording final when the files have these digests. `check` sees every event first and may throw. */
  publish(
    sid: string,
    digests: Readonly<Record<RecordingFile, string>>,
    check?: (event: RecordingEvent) => void,
  ): Promise<void>;
  /** Throws `not_found`; empty past the end. */
  read(sid: string, file: RecordingFile, offset: number, length: number): Promise<Uint8Array>;
}
type RecordingFile = "bytes" | "log";

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
