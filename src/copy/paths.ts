import { basename, resolve } from "node:path";

/** File names and paths as bytes: not every name is UTF-8, and Node takes a Buffer wherever it takes a path. */
type Path = Buffer;

/** The last step of a path. */
export const lastStep = (path: Path): Path => Buffer.from(basename(path.toString("latin1")), "latin1");

/** A path below a folder. */
export const below = (folder: Path, name: Uint8Array): Path =>
  Buffer.concat([folder, Buffer.from("/"), name]);

/** Absolute, to be shown. */
export const shown = (path: Path): string => resolve(path.toString());

/** Of an error of the file system, what people know it by: `permission denied`. */
export const reason = (err: unknown): string =>
  (err instanceof Error ? err.message : String(err)).replace(/^E[A-Z]+: ([^,]*),.*$/s, "$1");
