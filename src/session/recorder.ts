import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Clock } from "#core/clock";
import type { Log } from "#core/log";
import type { AuditEvent } from "#events";
import { type Recorded, RecordingWriter } from "#recording";
import type { Part, Spool } from "./spool.ts";

/** What a session tells of itself as it goes on. */
export interface Recorder {
  /** Output that was shown. Resolves at once while the disk keeps up, later when it does not. */
  output(chunk: Uint8Array): Promise<void>;
  /** An event of the session; returns it with its index in the recording. */
  event<E extends AuditEvent>(event: E): E;
  /** Call once, when no output will follow: what was kept of it. Events may still come. */
  measure(): Recorded;
  /** Call once, at last. Resolves when everything is on disk and the recording is ready to be uploaded. */
  end(): Promise<void>;
}

/** Bytes that may wait for the disk before the session waits too. */
const maxBacklog = 1024 * 1024;

/**
 * Records into the spool. A disk that fails ends the recording, not the session: who comes to repair a full disk must
 * get in; the operator is told. `limit` bounds the bytes of output (REC-11).
 */
export async function recordTo(
  spool: Spool,
  sid: string,
  options: {
    clock: Pick<Clock, "now">;
    log: Log;
    limit?: number;
    /** Called once when the session is not recorded from now on. */
    onFailure?: (() => void) | undefined;
  },
): Promise<Recorder> {
  const { clock, log, limit, onFailure } = options;
  const writer = new RecordingWriter(limit === undefined ? {} : { limit, rest: createHash("sha256") });
  const failed = (err: unknown): void =>
    log.error("a session is not recorded", { sid, error: (err as Error).message });
  let files: Record<Part, FileHandle> | undefined;
  try {
    files = await spool.create(sid);
  } catch (err) {
    failed(err);
    onFailure?.();
  }
  let pending = Promise.resolve();
  let backlog = 0;

  function append(bytes: Uint8Array, lines: Uint8Array): void {
    if (bytes.length + lines.length === 0) return;
    // Whoever showed them may use their buffer again.
    const kept = Buffer.from(bytes);
    backlog += kept.length;
    pending = pending.then(async () => {
      try {
        // The bytes first: the log never speaks of bytes that are not there.
        if (kept.length > 0) await files?.bytes.appendFile(kept);
        await files?.log.appendFile(lines);
      } catch (err) {
        const broken = files;
        files = undefined;
        // One that failed before has no files any more.
        if (broken) {
          failed(err);
          onFailure?.();
        }
        await Promise.allSettled([broken?.bytes.close(), broken?.log.close()]);
      }
      backlog -= kept.length;
    });
  }

  return {
    async output(chunk) {
      const { bytes, log: lines } = writer.output(chunk, clock.now());
      append(bytes, lines);
      if (backlog > maxBacklog) await pending;
    },
    event<E extends AuditEvent>(event: E): E {
      const { event: numbered, log: line } = writer.event(event);
      append(new Uint8Array(0), line);
      return numbered;
    },
    measure: () => writer.end(),
    async end() {
      await pending;
      for (const file of Object.values(files ?? {})) {
        await file.sync().catch(failed);
        await file.close();
      }
      await spool.complete(sid).catch(failed);
    },
  };
}

/** For `session_recording: off` and sessions recorded elsewhere: events get no index, bytes are dropped. */
export const noRecorder: Recorder = {
  async output() {},
  event: (event) => event,
  measure: () => ({ bytes: 0 }),
  async end() {},
};
