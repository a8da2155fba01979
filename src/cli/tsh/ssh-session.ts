import { constants } from "node:os";
import {
  type Connection,
  connectStdio,
  type Ending,
  type Forwards,
  forwarding,
  lendAgent,
  Openings,
  type ProxyConnection,
  run,
} from "#client";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import { printable } from "../text.ts";
import type { Host, Remote } from "./ssh.ts";
import type { Settings, SshContext } from "./ssh-settings.ts";
import type { SessionTerminal } from "./ssh-terminal.ts";

/** One connection to a host, and what hangs on it. */
export interface Line {
  readonly host: Host;
  readonly connection: Connection;
  /** Tells the person something that others may have had a hand in. */
  readonly say: (text: string) => void;
  /** The forwards, which a session may get while it goes on. */
  readonly forwards: () => Promise<Forwards>;
}

/** What passes between a session and those who read its keys. */
export interface Keyboard {
  /** Whether an escape has ended the connection. */
  left: boolean;
  sendBreak: () => void;
}

/** A session on one host, its forwards, or a command here while these stand. Resolves to the exit code. */
export async function onHost(
  context: SshContext,
  proxy: ProxyConnection,
  host: Host,
  remote: Remote,
  settings: Settings,
): Promise<number> {
  const { io, flags, signal } = context;
  const { command, login, cluster, acceptPlain } = remote;
  const agent = agentFor(settings, proxy, io);
  const target = { host: host.id, port: settings.port, cluster, login };
  await using connection = await proxy.toHost(target, acceptPlain, signal);
  const terminal = await terminalFor(io, command, settings);
  const say = (text: string): void => {
    if (terminal) terminal.say(printable(text));
    else io.err(printable(text));
  };
  const openings = new Openings(connection);
  const lent = await agent;
  if (lent) openings.add(lendAgent(lent));
  await using stack = new AsyncDisposableStack();
  let opened: Promise<Forwards> | undefined;
  const line: Line = {
    host,
    connection,
    say,
    forwards: () =>
      (opened ??= forwarding().then(({ Forwards: Made }) =>
        stack.use(
          new Made({
            connection,
            openings,
            unlink: settings.unlink,
            warn: (text) => {
              if (!settings.quiet) say(`WARNING: ${text}`);
            },
          }),
        ),
      )),
  };
  await startForwards(line, settings);
  remote.onOpen();
  if (flags.local) {
    const { runHere } = await import("./ssh-local.ts");
    return await runHere(remote.words, signal);
  }
  if (settings.stdio) {
    await connectStdio(connection, { stdin: io.input(), stdout: io.stdout }, settings.stdio);
    signal.throwIfAborted();
    return 0;
  }
  if (!settings.session) {
    await connection.closed;
    signal.throwIfAborted();
    throw new Fault("unreachable", `lost the connection to ${host.name}`);
  }
  const code = await runSession(context, line, remote, settings, { terminal, agent: lent });
  if (opened) await drain(await opened, line, settings);
  signal.throwIfAborted();
  return code;
}

/** What is forwarded still may be in the middle of something when the command is over. */
async function drain(forwards: Forwards, { say }: Line, { quiet }: Settings): Promise<void> {
  const left = forwards.served;
  if (left > 0 && !quiet)
    say(`Waiting for ${left} forwarded connections to end; interrupt to leave at once.`);
  await forwards.drain();
}

/** Opens what was asked for. One that cannot be had is told, and is the end where that was asked for, or where nothing else is left. */
async function startForwards(line: Line, settings: Settings): Promise<void> {
  if (settings.forwards.length === 0) return;
  const forwards = await line.forwards();
  let standing = 0;
  for (const forward of settings.forwards) {
    try {
      const at = await forwards.open(forward);
      standing++;
      const chosen = forward.listen.kind === "tcp" && forward.listen.port === 0 && at.kind === "tcp";
      if (chosen && !settings.quiet)
        line.say(`${line.host.name} listens on port ${at.port} for ${forward.text}`);
    } catch (err) {
      if (settings.exitOnForwardFailure) throw err;
      line.say(`WARNING: ${(err as Error).message}`);
    }
  }
  if (standing === 0 && !settings.session) {
    throw new Fault(
      "unreachable",
      "none of the forwards could be opened, and with -N there is nothing else to do",
    );
  }
}

async function runSession(
  { io, signal }: SshContext,
  line: Line,
  { command }: Remote,
  settings: Settings,
  { terminal, agent }: { terminal: SessionTerminal | undefined; agent: string | undefined },
): Promise<number> {
  const keys = terminal && settings.escape !== "none" && io.terminal.stdin && settings.input;
  const keyboard: Keyboard = { left: false, sendBreak: () => {} };
  const stdin = keys
    ? await (await import("./ssh-escapes.ts")).readKeys(io.input(), settings, terminal, line, keyboard)
    : settings.input
      ? io.input()
      : undefined;
  const ending = await run(
    line.connection,
    { stdin, stdout: io.stdout, stderr: io.stderr, terminal },
    {
      command,
      env: settings.env,
      forwardAgent: agent !== undefined,
      onStart: (session) => {
        // One that is over needs no break any more.
        keyboard.sendBreak = () => void session.break(0).catch(() => {});
      },
    },
  );
  signal.throwIfAborted();
  if (keyboard.left) return 1;
  return exitCode(ending, line.host.name);
}

/** A shell gets the terminal when there is one, a command when it is asked for; `force` makes one up. */
async function terminalFor(
  io: Io,
  command: string | undefined,
  { tty, session }: Settings,
): Promise<SessionTerminal | undefined> {
  if (!session || tty === "no" || (tty === "auto" && command !== undefined)) return undefined;
  if (!io.terminal.stdin && tty !== "force") {
    if (tty === "yes") io.err("WARNING: standard input is not a terminal, so the command gets none");
    return undefined;
  }
  return new (await import("./ssh-terminal.ts")).SessionTerminal(io);
}

/** The agent to lend: the one that was asked for, or ours when the proxy needs it to record (TSH-25). */
async function agentFor(
  { agent }: Settings,
  proxy: ProxyConnection,
  { env }: Io,
): Promise<string | undefined> {
  if (agent !== undefined) return agent || undefined;
  const own = env.SSH_AUTH_SOCK;
  if (!own) return undefined;
  // Whoever lost the proxy learns it from the connection to the host.
  return (await proxy.recordsSessions().catch(() => false)) ? own : undefined;
}

/** The command's own code; 128 and the number of the signal that ended it. */
export function exitCode(ending: Ending, host: string): number {
  if (ending === "refused") throw new Fault("access_denied", `${host} did not start it`);
  if (ending === "lost") throw new Fault("unreachable", `lost the connection to ${host}`);
  if ("code" in ending) return ending.code;
  const number = constants.signals[`SIG${ending.signal}` as NodeJS.Signals];
  return number === undefined ? 255 : 128 + number;
}
