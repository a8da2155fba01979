import { lendAgent, Openings, type ProxyConnection, run } from "#client";
import { systemClock } from "#core/clock";
import { formatDuration } from "#core/duration";
import { asJson, asYaml } from "../format.ts";
import { table } from "../table.ts";
import { printable } from "../text.ts";
import { PrefixedLines } from "./prefixed-lines.ts";
import type { Host, Remote } from "./ssh.ts";
import { exitCode } from "./ssh-session.ts";
import type { Settings, SshContext } from "./ssh-settings.ts";

/** How it went on one host; what programs get. */
interface Outcome {
  readonly node: string;
  readonly id: string;
  readonly exit_code: number;
  /** Empty where the command ran to its end. */
  readonly error: string;
  readonly seconds: number;
}

const defaultParallel = 10;

/**
 * Runs the command on all hosts, some at a time. Each line of their output comes whole and behind its host's name; a table
 * tells how it went. Resolves to the highest exit code. One that fails does not stop the rest.
 */
export async function onHosts(
  context: SshContext,
  proxy: ProxyConnection,
  hosts: readonly Host[],
  remote: Remote,
  settings: Settings,
): Promise<number> {
  const { io, flags, signal } = context;
  if (!settings.quiet && hosts.length > 1)
    io.err("WARNING: Multiple nodes matched label selector, running command on all.");
  const outcomes: Outcome[] = [];
  const waiting = hosts.entries();
  const worker = async (): Promise<void> => {
    for (const [index, host] of waiting)
      outcomes[index] = await onOne(context, proxy, host, remote, settings);
  };
  const parallel = Math.min(hosts.length, flags.parallel ?? defaultParallel);
  await Promise.all(Array.from({ length: parallel }, worker));
  signal.throwIfAborted();
  if (flags.format === "json") io.out(asJson(outcomes));
  else if (flags.format === "yaml") io.out(await asYaml([outcomes]));
  else for (const line of summary(outcomes)) io.err(line);
  return Math.max(...outcomes.map(({ exit_code }) => exit_code));
}

async function onOne(
  { io, flags, signal }: SshContext,
  proxy: ProxyConnection,
  { id, name }: Host,
  { command, login, cluster, acceptPlain }: Remote,
  settings: Settings,
): Promise<Outcome> {
  const began = systemClock.now();
  // What programs read is alone on standard output.
  const isText = (flags.format ?? "text") === "text";
  const lines = (to: "stdout" | "stderr"): PrefixedLines => {
    const stream = isText ? to : "stderr";
    return new PrefixedLines(io[stream], name, io.terminal[stream]);
  };
  const [stdout, stderr] = [lines("stdout"), lines("stderr")];
  let code = 1;
  let error = "";
  try {
    signal.throwIfAborted();
    await using connection = await proxy.toHost(
      { host: id, port: settings.port, cluster, login },
      acceptPlain,
      signal,
    );
    if (settings.agent) new Openings(connection).add(lendAgent(settings.agent));
    const ending = await run(
      connection,
      { stdin: undefined, stdout, stderr, terminal: undefined },
      { command, env: settings.env, forwardAgent: Boolean(settings.agent) },
    );
    await Promise.all([stdout.finish(), stderr.finish()]);
    code = exitCode(ending, name);
  } catch (err) {
    error = (err as Error).message;
    if (!signal.aborted && isText) io.err(`${printable(name)}: error: ${printable(error)}`);
  }
  return { node: name, id, exit_code: code, error, seconds: (systemClock.now() - began) / 1000 };
}

function summary(outcomes: readonly Outcome[]): string[] {
  const rows = outcomes.map(({ node, exit_code, error, seconds }) => [
    node,
    String(exit_code),
    formatDuration(Math.round(seconds * 1000)),
    error,
  ]);
  const header = ["Node Name", "Exit Code", "Time"];
  const hasErrors = outcomes.some(({ error }) => error !== "");
  return ["", ...table(hasErrors ? [...header, "Error"] : header, rows)];
}
