import { type ChildProcess, spawn } from "node:child_process";
import { type Clock, type Millis, second } from "#core/clock";
import type { Inherited } from "./listeners.ts";
import { companionVariable, type FromChild, inheritedVariable, type OwnProcess } from "./own-process.ts";

/** Standard input, output and error, and the channel on which parent and child talk. */
const before = ["inherit", "inherit", "inherit", "ipc"] as const;
/** So long may a process take to end that was told to. */
const politeness: Millis = 5 * second;

/** Another process of the daemon's own command. */
export interface Again {
  readonly child: ChildProcess;
  /** Resolves when it is gone, with how that came. Never rejects. */
  readonly ended: Promise<string>;
}

/** Starts the daemon's command once more, with listening sockets of this process. */
export function startAgain(
  { command, env }: OwnProcess,
  sockets: readonly Inherited[],
  { companion, onMessage }: { companion?: number; onMessage: (message: FromChild) => void },
): Again {
  const inherited: Inherited[] = sockets.map(({ name }, i) => ({ name, fd: before.length + i }));
  const child = spawn(command.file, command.args, {
    stdio: [...before, ...sockets.map(({ fd }) => fd)],
    env: {
      ...env,
      [inheritedVariable]: JSON.stringify(inherited),
      [companionVariable]: companion === undefined ? undefined : String(companion),
    },
  });
  child.on("message", (message) => onMessage(message as FromChild));
  const ended = new Promise<string>((resolve) => {
    // Also told of a message or a signal that came too late.
    child.on("error", (err) => {
      if (child.pid === undefined) resolve(`it could not be started: ${err.message}`);
    });
    child.once("exit", (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  return { child, ended };
}

/** Ends it, by force if it takes long. */
export async function end({ child, ended }: Again, clock: Clock): Promise<void> {
  child.kill("SIGTERM");
  const over = new AbortController();
  clock.sleep(politeness, over.signal).then(
    () => child.kill("SIGKILL"),
    () => {},
  );
  await ended;
  over.abort();
}
