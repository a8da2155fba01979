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
  if (err instanceof Error) return err.message || err.name;
  return String(err);
}

function stacks(err: unknown): string[] {
  const found: string[] = [];
  for (let at: unknown = err; at instanceof Error && found.length < 8; at = at.cause)
    found.push(at.stack ?? String(at));
  return found;
}
