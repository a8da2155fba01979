// JavaScript, not TypeScript: until the cache is open, taking the types out would cost more than all the rest of a start.
import { lstatSync, mkdirSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { userInfo } from "node:os";
import { join } from "node:path";

/**
 * What of the process decides where the cache may lie; `home` is from the passwd database.
 * @typedef {{ readonly uid: number; readonly home: string; readonly env: Readonly<Record<string, string | undefined>> }} Caller
 */

/**
 * Has Node keep compiled code between runs, which makes short commands three times faster. The cache holds code that
 * runs as the caller, so it lies only in a folder that nobody else can write; without one there is none.
 */
export function openCompileCache() {
  if (!process.geteuid) return;
  try {
    const { homedir } = userInfo();
    const folder = cacheFolder({ uid: process.geteuid(), home: homedir, env: process.env });
    if (folder) enableCompileCache(folder);
  } catch {
    // Slower, nothing worse.
  }
}

/**
 * The folder for compiled code, made when missing; none when another user could write there.
 * @param {Caller} caller
 * @returns {string | undefined}
 */
export function cacheFolder({ uid, home, env }) {
  // Under sudo the variables are those of the person, whose folders root must not trust.
  const named = uid === 0 ? undefined : env.XDG_CACHE_HOME;
  const base = named?.startsWith("/") ? named : join((uid === 0 ? undefined : env.HOME) || home, ".cache");
  let folder = base;
  for (const part of ["", "teleport", "code"]) {
    folder = join(folder, part);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (err) {
      if (/** @type {NodeJS.ErrnoException} */ (err).code !== "EEXIST") return undefined;
    }
    if (!isOwn(folder, uid)) return undefined;
  }
  return folder;
}

/**
 * A real folder of the caller's into which no other user may write.
 * @param {string} folder
 * @param {number} uid
 */
function isOwn(folder, uid) {
  const found = lstatSync(folder);
  return found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0;
}
