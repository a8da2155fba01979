import { spawn } from "node:child_process";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";

/** Lets the person edit a file; resolves when the editor has ended. */
export type RunEditor = (path: string, io: Io) => Promise<void>;

/**
 * `$VISUAL`, else `$EDITOR`, else vi, on this terminal. They may hold arguments (`code --wait`) and are read by the shell, as
 * git and crontab do. Throws when the editor fails.
 */
export const runEditor: RunEditor = async (path, { env }) => {
  const editor = env.VISUAL || env.EDITOR || "vi";
  const child = spawn("/bin/sh", ["-c", `${editor} "$@"`, editor, path], { stdio: "inherit" });
  const ended = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(signal ?? code ?? 1));
  });
  if (ended === 0) return;
  const why = ended === 127 ? "is not there; set $VISUAL or $EDITOR to another" : `ended with ${ended}`;
  throw new Fault("unreachable", `the editor ${JSON.stringify(editor)} ${why}`);
};
