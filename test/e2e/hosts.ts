import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { eventually } from "../support/eventually.ts";
import type { HttpAnswer } from "../support/https.ts";
import type { Machine } from "../support/network.ts";
import type { Program } from "../support/program.ts";
import type { Ran, RunOptions } from "../support/run.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, type Event, login, password, readEvents, signUp } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

/** The commands on one machine of a network, as somebody sits there. Files are where they are on a real one. */
export class Host {
  readonly machine: Machine;
  readonly #env: Readonly<Record<string, string | undefined>>;

  /** `env` is added to the environment of all that runs there. */
  constructor(machine: Machine, env: Readonly<Record<string, string>> = {}) {
    this.machine = machine;
    this.#env = { ...quiet, HOME: machine.home, ...env };
  }

  get dataDir(): string {
    return join(this.machine.lib, "teleport");
  }

  /** `teleport start`; it ends with the answer's disposal. */
  teleport(...flags: string[]): Promise<Program> {
    return this.start(programs.teleport, ["start", ...flags]);
  }

  tctl(...args: string[]): Promise<Ran> {
    return this.run(programs.tctl, args);
  }

  mustTctl(...args: string[]): Promise<string> {
    return this.mustRun(programs.tctl, args);
  }

  tsh(args: readonly string[], options?: RunOptions): Promise<Ran> {
    return this.run(programs.tsh, args, options);
  }

  mustTsh(args: readonly string[], options?: RunOptions): Promise<string> {
    return this.mustRun(programs.tsh, args, options);
  }

  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return this.machine.run(command, args, this.#with(options));
  }

  mustRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.machine.mustRun(command, args, this.#with(options));
  }

  start(command: string, args: readonly string[], options: RunOptions = {}): Promise<Program> {
    return this.machine.start(command, args, this.#with(options));
  }

  /** As `start`, with a terminal in front of somebody. */
  terminal(command: string, args: readonly string[]): Terminal {
    return new Terminal("ip", this.machine.line(command, args), { env: this.#env });
  }

  #with(options: RunOptions): RunOptions {
    return { ...options, env: { ...this.#env, ...options.env } };
  }
}

/** The answer as it is seen from a host. */
export function webFrom(host: Host, proxy: string): Cluster["web"] {
  return async (path, options = {}) => {
    const call = `fetchOwn(${JSON.stringify(`https://${proxy}:3080${path}`)}, ${JSON.stringify(options)})`;
    const program = `import { fetchOwn } from ${JSON.stringify(https)};
      const { status, text, headers } = await ${call};
      process.stdout.write(JSON.stringify({ status, text, headers }));`;
    const out = await host.mustRun(process.execPath, ["--input-type=module", "-e", program]);
    const answer = JSON.parse(out) as Omit<HttpAnswer, "json">;
    return { ...answer, json: () => JSON.parse(answer.text) as unknown };
  };
}

const https = pathToFileURL(join(import.meta.dirname, "../support/https.ts")).href;

/** Invites somebody at the auth service, who signs up at the proxy from a machine of their own, and logs in. */
export async function makeUser(auth: Host, laptop: Host, proxy: string, name: string): Promise<void> {
  await signUp(webFrom(laptop, proxy), await auth.mustTctl("users", "add", name, login));
  await logIn(laptop, proxy, name);
}

export async function logIn(laptop: Host, proxy: string, name: string): Promise<void> {
  const flags = ["login", "--insecure", `--proxy=${proxy}`, `--user=${name}`];
  await laptop.mustTsh(flags, { input: `${password}\n` });
}

/** The audit log so far, oldest first. */
export const eventsAt = (auth: Host): Promise<Event[]> => readEvents(auth.dataDir);

export type Row = { readonly name: string; readonly id: string; readonly address: string };

/** What `tctl nodes ls` shows, without labels. */
export async function nodesAt(auth: Host): Promise<Row[]> {
  const [, , ...rows] = (await auth.mustTctl("nodes", "ls")).trimEnd().split("\n");
  return rows.map((row) => {
    const [name = "", id = "", address = ""] = row.trim().split(/ +/);
    return { name, id, address };
  });
}

/** The row of a node of this name, waited for. */
export const listed = (auth: Host, name: string): Promise<Row> =>
  eventually(`${name} in the list`, async () => (await nodesAt(auth)).find((row) => row.name === name), {
    every: 300,
  });
