import { resolve } from "node:path";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import type { OwnProcess } from "./daemon.ts";

const signals = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"] as const;

/** The process that `teleport start` runs in. */
export function ownProcess({ env }: Pick<Io, "env">): OwnProcess {
  const { TELEPORT_INHERITED: inherited } = env;
  return {
    command: command(env),
    env,
    onSignal(told) {
      for (const signal of signals) process.on(signal, () => told(signal));
    },
    // Without the channel nobody waits, and the variable is a stray one of another process.
    ...(inherited !== undefined &&
      process.connected === true && {
        before: {
          inherited: parse(inherited),
          ready: () => void process.send?.({ ready: true }, undefined, undefined, () => {}),
        },
      }),
  };
}

/** As it was called, by the launcher's word for it; without a launcher, this program by the Node that runs it. */
function command(env: Io["env"]): OwnProcess["command"] {
  const args = process.argv.slice(2);
  const { TELEPORT_COMMAND: launcher } = env;
  if (launcher?.includes("/")) return { file: resolve(launcher), args };
  return { file: process.execPath, args: [...process.execArgv, process.argv[1] ?? "", ...args] };
}

function parse(text: string): NonNullable<OwnProcess["before"]>["inherited"] {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("bad_parameter", "TELEPORT_INHERITED is not what the process before this one wrote", {
      cause,
    });
  }
}
