import { spawn } from "node:child_process";
import { constants } from "node:os";
import { Fault } from "#core/errors";

/** Runs a command on this machine, on the terminal that we have (`--local`). Resolves to its exit code. */
export function runHere([program = "", ...args]: readonly string[], signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(program, args, { stdio: "inherit", signal });
  child.once("error", (cause: NodeJS.ErrnoException) => {
    if (signal.aborted) return;
    const why = cause.code === "ENOENT" ? "there is no such program" : cause.message;
    reject(new Fault("not_found", `cannot run ${program} here: ${why}`, { cause }));
  });
  child.once("close", (code, ended) => {
    resolve(code ?? 128 + (ended ? constants.signals[ended] : 0));
  });
  return promise;
}
