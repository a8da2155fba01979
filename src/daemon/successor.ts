import { spawn } from "node:child_process";
import { type Clock, type Millis, minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Inherited } from "./listeners.ts";
import { inheritedVariable, type OwnProcess, type Ready } from "./own-process.ts";

/** A new process that is not ready by then is not what the operator wants to be left with. */
const patience: Millis = 2 * minute;
const politeness: Millis = 5 * second;

/** Standard input, output and error, and the channel by which the new process tells that it is ready. */
const before = ["inherit", "inherit", "inherit", "ipc"] as const;

/**
 * Starts the daemon's command once more, with its listening sockets, and resolves with the pid of the new process when that
 * serves. Rejects when it ends first or takes too long; it is gone then.
 */
export async function startSuccessor(
  own: OwnProcess,
  sockets: readonly Inherited[],
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const inherited: Inherited[] = sockets.map(({ name }, i) => ({ name, fd: before.length + i }));
  const child = spawn(own.command.file, own.command.args, {
    stdio: [...before, ...sockets.map(({ fd }) => fd)],
    env: { ...own.env, [inheritedVariable]: JSON.stringify(inherited) },
  });
  const over = new AbortController();
  const ended = new Promise<string>((resolve) => {
    child.once("error", (err) => resolve(`it could not be started: ${err.message}`));
    child.once("exit", (code, killed) => resolve(`it ended with ${killed ?? `code ${code}`}`));
  });
  const ready = new Promise<undefined>((resolve) => {
    child.on("message", (message: Partial<Ready>) => {
      if (message.ready === true) resolve(undefined);
    });
  });
  const late = clock.sleep(patience, AbortSignal.any([signal, over.signal])).then(
    () => `it was not ready after ${patience / minute} minutes`,
    () => "this process was told to stop",
  );
  const problem = await Promise.race([ready, ended, late]);
  over.abort();
  if (problem === undefined && child.pid !== undefined) {
    child.disconnect();
    child.unref();
    return child.pid;
  }
  child.kill("SIGTERM");
  const force = new AbortController();
  clock.sleep(politeness, force.signal).then(
    () => child.kill("SIGKILL"),
    () => {},
  );
  await ended;
  force.abort();
  throw new Fault("unreachable", problem ?? "it has no process id");
}
