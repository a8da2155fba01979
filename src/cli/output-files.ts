import { lstat, stat } from "node:fs/promises";
import { Fault } from "#core/errors";
import type { Io } from "./io.ts";
import { printable } from "./text.ts";

/** What is to be written to one path. */
export interface Output {
  readonly path: string;
  readonly text: string;
}

/**
 * Sees that nothing would be lost by writing to `paths`: before keys are made and certificates issued. What is there already is
 * replaced with `overwrite`, or when the person says so. Throws `already_exists`, or `bad_parameter` for what is no file.
 */
export async function clearOutputs(
  { io, signal }: { readonly io: Io; readonly signal: AbortSignal },
  paths: readonly string[],
  overwrite: boolean,
): Promise<void> {
  for (const path of paths) {
    // Of a link too: what is written takes the link's place, not that of the file behind it.
    const found = await lstat(path).catch(() => undefined);
    if (!found) continue;
    const isFile = found.isSymbolicLink()
      ? ((await stat(path).catch(() => undefined))?.isFile() ?? true)
      : found.isFile();
    // As root, writing to a device would put a file in its place.
    if (!isFile) throw new Fault("bad_parameter", `${path} is there already and is no file`);
    if (overwrite) continue;
    if (!io.terminal.stdin) {
      throw new Fault("already_exists", `${path} is there already; --overwrite replaces it`);
    }
    const answer = await io.ask(`${printable(path)} is there already. Replace it (yes/no)?`, signal);
    if (answer.trim().toLowerCase() !== "yes") throw new Fault("already_exists", `${path} stays as it is`);
  }
}

/** Writes files that only their owner may read, each whole or not at all. */
export async function writeOutputs(outputs: readonly Output[]): Promise<void> {
  const { writeWhole } = await import("#client");
  for (const { path, text } of outputs) {
    try {
      await writeWhole(path, text, 0o600);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      const why = code === "ENOENT" ? "there is no such folder" : message;
      throw new Fault("access_denied", `cannot write to ${path}: ${why}`, { cause });
    }
  }
}
