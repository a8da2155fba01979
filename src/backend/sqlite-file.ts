import { chmod, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Millis } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import type { Log } from "#core/log";

/** "TlpB" in the file header: tells our database from any other. */
const applicationId = 0x546c7042;

/** Step n brings a file of format n to format n + 1. Only ever add to the end. */
const steps: readonly string[] = [
  `CREATE TABLE items (
     key TEXT PRIMARY KEY,
     value BLOB NOT NULL,
     expires INTEGER,
     revision INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX items_expires ON items (expires) WHERE expires IS NOT NULL;
   -- value is NULL for a delete. AUTOINCREMENT: a position is never given twice, even after pruning.
   CREATE TABLE changes (
     position INTEGER PRIMARY KEY AUTOINCREMENT,
     time INTEGER NOT NULL,
     key TEXT NOT NULL,
     value BLOB,
     expires INTEGER
   ) STRICT;`,
];

/** Opens or makes the database, readable by its owner alone, and brings it to the current format. */
export async function openFile(file: string, log: Log): Promise<DatabaseSync> {
  await makePrivate(file, log);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { timeout: 2000 satisfies Millis });
    formatOf(db, file, steps.length);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON");
    const [check] = db.prepare("PRAGMA quick_check(1)").all();
    if (check?.quick_check !== "ok") throw damaged(file, check?.quick_check);
    migrate(db, file, steps);
    // From here on a lock held by another process is waited for without blocking this one.
    db.exec("PRAGMA busy_timeout = 20");
    return db;
  } catch (err) {
    db?.close();
    throw asFault(err, file);
  }
}

/**
 * Brings the file to format `steps.length`, all or nothing; several processes may try at once.
 * Throws `bad_parameter` for a newer file and for one that is not ours.
 */
export function migrate(db: DatabaseSync, file: string, steps: readonly string[]): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    const format = formatOf(db, file, steps.length);
    for (const step of steps.slice(format)) db.exec(step);
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${steps.length}; COMMIT`);
  } catch (err) {
    db.exec("ROLLBACK");
    throw err;
  }
}

/** The format of the file, 0 when it is new. Throws `bad_parameter` for one that we must not touch; changes nothing. */
function formatOf(db: DatabaseSync, file: string, known: number): number {
  const format = Number(db.prepare("PRAGMA user_version").get()?.user_version);
  const owner = Number(db.prepare("PRAGMA application_id").get()?.application_id);
  const empty = db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
  if (owner !== applicationId && !empty)
    throw new Fault("bad_parameter", `${file} is a database of another program; choose another storage path`);
  if (format > known)
    throw new Fault(
      "bad_parameter",
      `${file} was written by a newer version of this program (storage format ${format}, this one knows ${known}): ` +
        "run that version, or restore a backup from before the upgrade",
    );
  return format;
}

/** The file exists with mode 0600 before SQLite writes to it; SQLite gives -wal and -shm the mode of the file. */
async function makePrivate(file: string, log: Log): Promise<void> {
  const folder = dirname(file);
  if (await mkdir(folder, { recursive: true, mode: 0o700 })) await chmod(folder, 0o700);
  else if (((await stat(folder)).mode & 0o022) !== 0)
    log.warn("others may write to the storage folder; it should have mode 0700", { folder });
  const handle = await open(file, "a", 0o600);
  // An earlier file, or a umask that took from the owner.
  await handle.chmod(0o600);
  await handle.close();
}

const damaged = (file: string, cause: unknown): Fault =>
  new Fault(
    "internal",
    `the storage ${file} is damaged: stop this program, move the file and its -wal and -shm aside, and put back a backup ` +
      "(without one, starting on an empty storage makes a new cluster that everyone joins again)",
    { cause },
  );

/** What SQLite's result codes (https://sqlite.org/rescode.html) mean to the operator. */
export function asFault(err: unknown, file: string): unknown {
  const code = resultCode(err);
  if (err instanceof Fault || code === undefined) return err;
  const fault = (kind: FaultKind, message: string): Fault => new Fault(kind, message, { cause: err });
  switch (code) {
    case busy:
    case 6:
      return fault("unreachable", `the storage ${file} is held by another process; try again`);
    case 8:
      return fault("unreachable", `the storage ${file} cannot be written: the file or its disk is read-only`);
    case 10:
      return fault("unreachable", `the disk below ${file} reports an error; check the system's log`);
    case 11:
    case 26:
      return damaged(file, err);
    case 13:
      return fault("unreachable", `the disk of ${file} is full`);
    case 14:
      return fault(
        "unreachable",
        `${file} cannot be opened; check that its folder belongs to the user who runs this`,
      );
    default:
      return fault("internal", `the storage ${file} failed: ${(err as Error).message}`);
  }
}

const busy = 5;
export const isBusy = (err: unknown): boolean => resultCode(err) === busy;

/** SQLite's primary result code, absent for errors of others. */
function resultCode(err: unknown): number | undefined {
  const code = err instanceof Error && "errcode" in err ? err.errcode : undefined;
  return typeof code === "number" ? code & 0xff : undefined;
}
