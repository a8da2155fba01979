import type { Writable } from "node:stream";
import type { Channel, Connection } from "#ssh";
import { DirectTcpip } from "#ssh/forward";
import { type Exit, openSession, type Session } from "#ssh/session";

/** The terminal or pipes that a remote command is connected with. */
export interface Local {
  /** Absent: the command gets no input. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Present when the remote side is to have a terminal, which is the one the person sits at. */
  readonly terminal: LocalTerminal | undefined;
}
export interface LocalTerminal {
  /** `TERM` */
  readonly name: string;
  size(): { columns: number; rows: number };
  /** The answer takes the listener off. */
  onResize(listener: () => void): () => void;
  /** Hands over every key as it is typed; the answer puts the terminal back. */
  raw(): () => void;
}

export interface RunOptions {
  /** Absent: a shell. */
  readonly command: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Asks the remote side to use our agent, which the caller serves. */
  readonly forwardAgent: boolean;
  /** Given the session once it has begun, for what is asked of it beside its input. */
  readonly onStart?: (session: Pick<Session, "break">) => void;
}

/** How a run ended. `refused`: the server did not start it; why is on its error output. `lost`: nobody said how it ended. */
export type Ending = Exit | "refused" | "lost";

/** Runs a command, or a shell, on a connection to a host. */
export async function run(connection: Connection, local: Local, options: RunOptions): Promise<Ending> {
  const session = await openSession(connection);
  const { terminal } = local;
  // Answers come in the order of the questions, so nothing waits for a round trip.
  const asked = Object.entries(options.env).map(([name, value]) => session.env(name, value));
  if (options.forwardAgent) asked.push(session.forwardAgent());
  const withTerminal =
    terminal && session.pty({ term: terminal.name, ...sizeOf(terminal), modes: new Map() });
  const started = options.command === undefined ? session.shell() : session.exec(options.command);
  const pumps = Promise.all([
    pump(session.channel, local.stdout),
    pump(session.channel.stderr, local.stderr),
  ]);
  let release = (): void => {};
  const feeding = new AbortController();
  try {
    // Servers may refuse variables and the agent; the command runs all the same.
    await Promise.allSettled(asked);
    if (terminal && (await withTerminal)) release = take(session, terminal);
    if (!(await started)) {
      await session.channel.close();
      return "refused";
    }
    options.onStart?.(session);
    void feed(local.stdin, session.channel, feeding.signal);
    return (await session.exit) ?? "lost";
  } catch {
    // The channel closed before everything was answered.
    return (await session.exit) ?? "lost";
  } finally {
    feeding.abort();
    await pumps;
    release();
  }
}

/**
 * Connects local input and output to a port on the host's side (`ssh -W`), until that is at its end. Throws `unreachable` in
 * the host's words when there is no connection to it.
 */
export async function connectStdio(
  connection: Connection,
  { stdin, stdout }: Pick<Local, "stdin" | "stdout">,
  to: { readonly host: string; readonly port: number },
): Promise<void> {
  const target = DirectTcpip.encode({ ...to, originatorHost: "127.0.0.1", originatorPort: 0 });
  const { channel } = await connection.open("direct-tcpip", target);
  const feeding = new AbortController();
  void feed(stdin, channel, feeding.signal);
  await pump(channel, stdout);
  feeding.abort();
  await channel.close({ discard: true });
}

const sizeOf = (terminal: LocalTerminal) => ({ ...terminal.size(), widthPixels: 0, heightPixels: 0 });

/** Makes the terminal the session's; the answer gives it back. */
function take(session: Session, terminal: LocalTerminal): () => void {
  const restore = terminal.raw();
  const stop = terminal.onResize(() => {
    // The session may be over already.
    session.resize(sizeOf(terminal)).catch(() => {});
  });
  return () => {
    stop();
    restore();
  };
}

/** Copies to a local stream as fast as that takes it. A reader that has seen enough ends it quietly. */
async function pump(from: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  try {
    for await (const chunk of from) {
      if (to.destroyed || to.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          to.removeListener("drain", go);
          to.removeListener("close", go);
          resolve();
        };
        to.once("drain", go);
        to.once("close", go);
      });
    }
  } catch {
    // The connection broke; `exit` says so.
  }
}

/** Sends local input until it ends or the session does. The end of the input is passed on, the output goes on. */
async function feed(
  stdin: AsyncIterable<Uint8Array> | undefined,
  channel: Channel,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const chunk of stdin ?? []) {
      if (signal.aborted) return;
      await channel.write(chunk);
    }
  } catch {
    // The command ended without reading all of it, or there is nothing more to read.
  }
  await channel.end().catch(() => {});
}
