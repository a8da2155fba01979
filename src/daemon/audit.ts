import { join } from "node:path";
import { admGroup, openAuditLog, parseDestination, RecordingFiles } from "#audit";
import type { AuditLog as AuthAudit } from "#auth";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Random } from "#core/random";

export interface AuditFolders {
  /** `<data_dir>/log` */
  readonly folder: string;
  /** `audit_events_uri`; none means files in `folder`. */
  readonly uris: readonly string[];
  readonly sessionsUri: string | undefined;
}

/** The cluster's audit log and recordings, where the configuration wants them (AUD-40, REC-05). */
export async function openAudit(
  { folder, uris, sessionsUri }: AuditFolders,
  world: { clock: Clock; random: Random; log: Log; stdout: (line: string) => Promise<void> },
): Promise<AuthAudit & AsyncDisposable> {
  const destinations = (uris.length === 0 ? [`file://${folder}`] : uris).map(parseDestination);
  const group = process.getuid?.() === 0 ? await admGroup() : undefined;
  const log = await openAuditLog(destinations, { ...world, ...(group !== undefined && { group }) });
  const files = await RecordingFiles.open(recordingsFolder(folder, sessionsUri), world);
  return {
    emit: (draft) => log.emit(draft),
    emitAgain: (events) => log.emitAgain(events),
    async search(query) {
      return [...(await log.search(query)).events];
    },
    recordings: {
      offset: (sid, file) => files.received(sid, file),
      async upload({ sid, file, offset }, body) {
        return { size: await files.receive(sid, file, offset, body) };
      },
      finish: (sid, sha256, check) => files.publish(sid, sha256, check),
      read: (sid, file, offset, length) => files.read(sid, file, offset, length),
    },
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}

function recordingsFolder(folder: string, uri: string | undefined): string {
  if (uri === undefined) return join(folder, "sessions", "default");
  const path = /^file:\/\/(\/.*)$/.exec(uri)?.[1];
  if (path === undefined) {
    throw new Fault(
      "bad_parameter",
      `audit_sessions_uri ${JSON.stringify(uri)} is not offered; use file:///folder`,
    );
  }
  return join(path, "default");
}
