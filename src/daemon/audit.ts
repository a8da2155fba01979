import { statfs } from "node:fs/promises";
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

/** How the audit log does, for who watches over the machine. */
export interface AuditState {
  readonly openFiles: number;
  /** Events that one of the places did not keep. */
  readonly failures: number;
  /** Of the disk with the folder, as `df` counts it for ordinary users. */
  percentUsed(): Promise<number>;
}

/** The cluster's audit log and recordings, where the configuration wants them (AUD-40, REC-05). */
export async function openAudit(
  { folder, uris, sessionsUri }: AuditFolders,
  world: { clock: Clock; random: Random; log: Log; stdout: (line: string) => Promise<void> },
): Promise<AuthAudit & AsyncDisposable & { readonly state: AuditState }> {
  const destinations = (uris.length === 0 ? [`file://${folder}`] : uris).map(parseDestination);
  const group = process.getuid?.() === 0 ? await admGroup() : undefined;
  const log = await openAuditLog(destinations, { ...world, ...(group !== undefined && { group }) });
  const files = await RecordingFiles.open(recordingsFolder(folder, sessionsUri), world);
  return {
    state: {
      get openFiles() {
        return log.openFiles + files.openFiles;
      },
      get failures() {
        return log.failures;
      },
      async percentUsed() {
        const { blocks, bfree, bavail } = await statfs(folder);
        const used = blocks - bfree;
        return (100 * used) / Math.max(1, used + bavail);
      },
    },
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

/** Where recordings lie: below `folder`, or where the URI says. Throws `bad_parameter` for one that is not offered. */
export function recordingsFolder(folder: string, uri: string | undefined): string {
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
