import { randomUUID } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Fault } from "#core/errors";

/**
 * Makes the data directory (0700) or looks at the one that is there. Answers a warning when other users can look into it
 * (OVW-38): its mode and the command that mends it. Throws `access_denied` when it cannot be used.
 */
export async function openDataDir(path: string): Promise<{ warning: string | undefined }> {
  try {
    const made = await mkdir(path, { recursive: true, mode: 0o700 });
    // A umask can only take bits away, and mkdir gives the mode to parents it makes too.
    if (made !== undefined) await chmod(path, 0o700);
    return { warning: await dataDirWarning(path) };
  } catch (cause) {
    const why =
      (cause as NodeJS.ErrnoException).code === "EACCES"
        ? "this user may not make or enter it"
        : plain(cause as NodeJS.ErrnoException);
    throw new Fault(
      "access_denied",
      `cannot use the data directory ${path}: ${why}; choose another with teleport.data_dir`,
      {
        cause,
      },
    );
  }
}

/** What to say of a data directory that other users can look into (OVW-38). Rejects as `stat` when it is not there. */
export async function dataDirWarning(path: string): Promise<string | undefined> {
  const bits = (await stat(path)).mode & 0o777;
  return (bits & 0o077) === 0
    ? undefined
    : `the data directory ${path} has mode ${bits.toString(8).padStart(4, "0")}, so other users of this machine can look into it; close it with: chmod 700 ${path}`;
}

function plain(cause: NodeJS.ErrnoException): string {
  switch (cause.code) {
    case "EEXIST":
    case "ENOTDIR":
      return "a file is where a folder should be";
    case "ENOSPC":
      return "the disk is full";
    case "EROFS":
      return "the file system is read-only";
    default:
      return cause.message;
  }
}

/** This host's UUID, made once (CFG-161). */
export async function hostUuid(dataDir: string): Promise<string> {
  const path = join(dataDir, "host_uuid");
  try {
    const text = (await readFile(path, "utf8")).trim();
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
    throw new Fault(
      "bad_parameter",
      `${path} holds no UUID; remove it and the host gets a new one, and joins again`,
    );
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
  }
  const uuid = randomUUID();
  await writeWhole(path, `${uuid}\n`, 0o400);
  return uuid;
}

/** Writes a file so that it is there whole or not at all, closed to others from its first byte whatever the umask. */
export async function writeWhole(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  await using file = await open(temporary, "wx", 0o600);
  await file.chmod(mode);
  await file.writeFile(text);
  await file.sync();
  await rename(temporary, path);
}
