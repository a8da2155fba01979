import { resolve } from "node:path";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import type { OwnProcess } from "./daemon.ts";

type Parent = NonNullable<OwnProcess["parent"]>;

const signals = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"] as const;

/** The process that `teleport start` runs in. */
export function ownProcess({ env }: Pick<Io, "env">): OwnProcess {
  const parent = parentOf(env);
  return {
    command: command(env),
    env,
    onSignal(told) {
      for (const signal of signals) process.on(signal, () => told(signal));
    },
    ...(parent && { parent }),
  };
}

/** As it was called, by the launcher's word for it; without a launcher, this program by the Node that runs it. */
function command(env: Io["env"]): OwnProcess["command"] {
  const args = process.argv.slice(2);
  const { TELEPORT_COMMAND: launcher } = env;
  if (launcher?.includes("/")) return { file: resolve(launcher), args };
  return { file: process.execPath, args: [...process.execArgv, process.argv[1] ?? "", ...args] };
}

function parentOf({
  TELEPORT_INHERITED: inherited,
  TELEPORT_PROXY_PROCESS: companion,
}: Io["env"]): Parent | undefined {
  // Without the channel nobody started us so, and the variables are stray ones of another process.
  if (inherited === undefined || !process.connected) return undefined;
  return {
    inherited: parse(inherited),
    ...(companion && { companion: Number(companion) }),
    send: (message) => void process.send?.(message, undefined, undefined, () => {}),
    onMessage: (listener) => void process.on("message", listener),
    onGone: (gone) => void process.once("disconnect", gone),
  };
}

function parse(text: string): Parent["inherited"] {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("bad_parameter", "TELEPORT_INHERITED is not what the process before this one wrote", {
      cause,
    });
  }
}
