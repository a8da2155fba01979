import { resolve } from "node:path";
import type { Io } from "../io.ts";

/** Where the agent of `tsh agent` is found. */
export function agentPlaces({ machine }: Pick<Io, "machine">): {
  readonly socket: string;
  readonly pid: string;
} {
  const folder = resolve(machine.home, ".tsh");
  return { socket: `${folder}/agent.sock`, pid: `${folder}/agent.pid` };
}
