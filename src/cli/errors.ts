import { Fault, type FaultKind } from "#core/errors";
import type { Io } from "./io.ts";
import { printableLines } from "./text.ts";

/** 0 is success. What the caller wrote wrongly is 2, what did not work is 1. */
const exitCodes: Readonly<Record<FaultKind, number>> = {
  bad_parameter: 2,
  not_found: 1,
  already_exists: 1,
  compare_failed: 1,
  access_denied: 1,
  limit_exceeded: 1,
  unreachable: 1,
  protocol: 1,
  internal: 1,
};

/** Tells the user in one message what went wrong, with the stack only for those who debug. Returns the exit code. */
export function report(err: unknown, io: Io, debug: boolean): number {
  io.err(`error: ${printableLines(sentence(err))}`);
  if (debug) for (const line of stacks(err)) io.err(printableLines(line));
  return err instanceof Fault ? exitCodes[err.kind] : 1;
}

/** Whether errors should show where they come from (CFG-163): asked for by a variable, or by a flag of the tool's own. */
export const debugging = (argv: readonly string[], env: Io["env"]): boolean => {
  // Behind the first word that is no flag but the command's name, `-d` may be another program's.
  const words = argv.flatMap((arg, i) => (arg.startsWith("-") ? [] : [i]));
  const own = argv.slice(0, words[1] ?? argv.length);
  return (
    /^(1|yes|true|on)$/i.test(env.TELEPORT_DEBUG ?? "") ||
    own.some((arg) => arg === "-d" || arg === "--debug")
  );
};

function sentence(err: unknown): string {
  if (err instanceof AggregateError && err.message === "" && err.errors.length > 0)
    return sentence(err.errors[0]);
  if (err instanceof Error) return ofSystem(err) ?? (err.message || err.name);
  return String(err);
}

/** What the operating system refused where nobody had better words for it. */
function ofSystem({ code = "", path }: NodeJS.ErrnoException): string | undefined {
  const what = path === undefined ? "" : ` (${path})`;
  if (code === "ENOSPC") return `the disk is full; make room on it and try again${what}`;
  if (code === "EROFS") return `the file system is read-only${what}`;
  if (code === "EACCES" || code === "EPERM") return `this user may not do that${what}`;
  if (code === "EMFILE" || code === "ENFILE") return "too many files are open; raise the limit (ulimit -n)";
  return undefined;
}

function stacks(err: unknown): string[] {
  const found: string[] = [];
  for (let at: unknown = err; at instanceof Error && found.length < 8; at = at.cause)
    found.push(at.stack ?? String(at));
  return found;
}
