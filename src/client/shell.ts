import type { Readable, Writable } from "node:stream";
import type { Connection } from "#ssh";
import { type Exit, openSession, type Session } from "#ssh/session";

/** The terminal or pipes that a remote command is connected with. */
export interface Local {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Present when the person sits at a terminal that the remote side is to have. */
  readonly terminal?: LocalTerminal;
}
export interface LocalTerminal {
  /** `TERM` */
  readonly name: string;
  size(): { columns: number; rows: number };
  onResize(listener: () => void): () => void;
  /** Hands over every key as it is typed; the answer puts the terminal back. */
  raw(): () => void;
}

export interface RunOptions {
  readonly command?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Asks the remote side to use our agent, which the caller serves. */
  readonly forwardAgent?: boolean;
}

/** Runs a command, or a shell, on a connection to a host. Resolves to how it ended; undefined when nobody said. */
export async function run(
  connection: Connection,
  local: Local,
  options: RunOptions,
): Promise<Exit | undefined> {
  const session = await openSession(connection);
  for (const [name, value] of Object.entries(options.env ?? {})) await session.env(name, value);
  if (options.forwardAgent) await session.forwardAgent();
  const { terminal } = local;
  const cleanup = terminal ? await withTerminal(session, terminal) : () => {};
  try {
    const started = options.command === undefined ? session.shell() : session.exec(options.command);
    // Input may follow at once: the server reads it only when the command runs.
    const pumps = [pump(session.channel, local.stdout), pump(session.channel.stderr, local.stderr)];
    if (!(await started)) {
      await session.channel.close();
      await Promise.all(pumps);
      return undefined;
    }
    const feeding = feed(local.stdin, session);
    const exit = await session.exit;
    feeding.stop();
    await Promise.all(pumps);
    return exit;
  } finally {
    cleanup();
  }
}

async function withTerminal(session: Session, terminal: LocalTerminal): Promise<() => void> {
  const pixels = { widthPixels: 0, heightPixels: 0 };
  await session.pty({ term: terminal.name, ...terminal.size(), ...pixels, modes: new Map() });
  const restore = terminal.raw();
  const stop = terminal.onResize(() => void session.resize({ ...terminal.size(), ...pixels }));
  return () => {
    stop();
    restore();
  };
}

/** Copies to a local stream as fast as that takes it. A reader that has seen enough ends it quietly. */
async function pump(from: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  for await (const chunk of from) {
    if (to.destroyed) continue;
    if (!to.write(chunk)) {
      await new Promise<void>((resolve) => {
        to.once("drain", resolve);
        to.once("close", resolve);
      });
    }
  }
}

/** Sends local input until it ends or the session does. */
function feed(stdin: Readable, session: Session): { stop(): void } {
  let stopped = false;
  const onData = (chunk: Buffer): void => {
    stdin.pause();
    session.channel.write(chunk).then(
      () => {
        if (!stopped) stdin.resume();
      },
      () => {},
    );
  };
  const onEnd = (): void => void session.channel.end().catch(() => {});
  stdin.on("data", onData);
  stdin.once("end", onEnd);
  return {
    stop() {
      stopped = true;
      stdin.removeListener("data", onData);
      stdin.removeListener("end", onEnd);
      stdin.pause();
    },
  };
}
