import { constants } from "node:os";
import {
  type Destination,
  type Ending,
  type LocalTerminal,
  lendAgent,
  type ProxyConnection,
  parseDestination,
  run,
} from "#client";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { type Login, openHome } from "./home.ts";
import { needLogin } from "./log-in.ts";
import { askAboutHost, loginFor, nodesOf, openProxy } from "./reach.ts";

/** `tsh ssh` (TSH-20). Resolves to the exit code of what ran (TSH-24). */
export async function ssh(context: SshContext): Promise<number> {
  const { io } = context;
  const [where = "", ...words] = context.args;
  const destination = parseDestination(where);
  const home = openHome(io);
  const login = await needLogin(context, home);
  await using proxy = await openProxy(context, login);
  const cluster = context.flags.cluster ?? login.profile.cluster;
  const hosts = await hostsOf(context, proxy, login, cluster, destination);
  const remote: Remote = {
    command: words.length === 0 ? undefined : words.join(" "),
    login: loginFor(destination.login ?? context.flags.login, login, io.machine),
    cluster,
    port: context.flags.port ?? 0,
    acceptPlain: askAboutHost(context, home),
  };
  const [first] = hosts;
  if (hosts.length > 1 && remote.command !== undefined)
    return await everywhere(context, proxy, hosts, remote);
  if (hosts.length > 1) {
    io.err(
      `WARNING: ${hosts.length} nodes match; opening a shell on the first, ${printable(first?.name ?? "")}`,
    );
  }
  return await runOn(context, proxy, first as Host, remote, io.input());
}

type SshContext = TshContext & FlagsOf<"ssh">;

interface Remote {
  readonly command: string | undefined;
  readonly login: string;
  readonly cluster: string;
  readonly port: number;
  readonly acceptPlain: ReturnType<typeof askAboutHost>;
}

/** `id` is what we ask for, `name` what we show. */
interface Host {
  readonly id: string;
  readonly name: string;
}

/** One host as it was named, or the nodes that a label selector finds. Never empty. */
async function hostsOf(
  context: TshContext,
  proxy: ProxyConnection,
  { credentials }: Login,
  cluster: string,
  destination: Destination,
): Promise<readonly Host[]> {
  if (destination.kind === "host") return [{ id: destination.host, name: destination.host }];
  const nodes = await nodesOf(context, proxy, credentials, cluster, destination.labels);
  if (nodes.length === 0)
    throw new Fault("not_found", "no nodes match these labels; `tsh ls` lists what there is");
  return nodes.map(({ metadata, spec }) => ({ id: metadata.name, name: spec.hostname }));
}

/** Runs the command on one host after the other; answers the highest exit code. One that fails does not stop the rest. */
async function everywhere(
  context: SshContext,
  proxy: ProxyConnection,
  hosts: readonly Host[],
  remote: Remote,
): Promise<number> {
  const { io, signal } = context;
  io.err("WARNING: Multiple nodes matched label selector, running command on all.");
  let highest = 0;
  for (const host of hosts) {
    io.err(`Running command on ${printable(host.name)}:`);
    let code = 1;
    try {
      code = await runOn(context, proxy, host, remote, undefined);
    } catch (err) {
      signal.throwIfAborted();
      io.err(`error: ${printable((err as Error).message)}`);
    }
    highest = Math.max(highest, code);
  }
  return highest;
}

async function runOn(
  { io, flags, signal }: SshContext,
  proxy: ProxyConnection,
  { id, name }: Host,
  { command, login, cluster, port, acceptPlain }: Remote,
  stdin: AsyncIterable<Uint8Array> | undefined,
): Promise<number> {
  await using connection = await proxy.toHost({ host: id, port, cluster, login }, acceptPlain, signal);
  const agent = flags.forwardAgent ? io.env.SSH_AUTH_SOCK : undefined;
  if (agent) lendAgent(connection, agent);
  else if (flags.forwardAgent)
    io.err("WARNING: no SSH agent is running here (SSH_AUTH_SOCK), so none is forwarded");
  const ending = await run(
    connection,
    { stdin, stdout: io.stdout, stderr: io.stderr, terminal: terminalFor(io, command, flags.tty ?? false) },
    { command, env: environment(io.env), forwardAgent: agent !== undefined },
  );
  signal.throwIfAborted();
  return exitCode(ending, name);
}

/** A shell gets the terminal when there is one, a command when it is asked for. */
function terminalFor(io: Io, command: string | undefined, forced: boolean): LocalTerminal | undefined {
  if (command !== undefined && !forced) return undefined;
  const { terminal } = io;
  if (!terminal.stdin) {
    if (forced) io.err("WARNING: standard input is not a terminal, so the command gets none");
    return undefined;
  }
  return {
    name: io.env.TERM || "xterm",
    size: () => terminal.size(),
    onResize: (listener) => terminal.onResize(listener),
    raw: () => terminal.raw(),
  };
}

/** What of the user's environment is sent along: language and colours, nothing that could change what programs do. */
function environment(env: Io["env"]): Record<string, string> {
  const sent = Object.entries(env).filter(([name]) => /^(LANG|LC_[A-Z]+|COLORTERM)$/.test(name));
  return Object.fromEntries(sent.filter((pair): pair is [string, string] => Boolean(pair[1])));
}

/** The command's own code; 128 and the number of the signal that ended it. */
function exitCode(ending: Ending, host: string): number {
  if (ending === "refused") throw new Fault("access_denied", `${host} did not start it`);
  if (ending === "lost") throw new Fault("unreachable", `lost the connection to ${host}`);
  if ("code" in ending) return ending.code;
  const number = constants.signals[`SIG${ending.signal}` as NodeJS.Signals];
  return number === undefined ? 255 : 128 + number;
}
