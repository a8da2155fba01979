// `tsh ssh -f`. A process cannot leave the terminal it was started from once it serves connections, so another of its own does the
// work from the beginning, and this one lends it the person until all is open.
import { type ChildProcess, spawn } from "node:child_process";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import type { Settings, SshContext } from "./ssh-settings.ts";

/** In the environment of the one behind: whether somebody is there to be asked. */
const mark = "TSH_BEHIND";

type FromBehind =
  | { readonly kind: "say"; readonly line: string }
  | { readonly kind: "ask"; readonly question: string; readonly secret: boolean }
  | { readonly kind: "open" };
type ToBehind =
  | { readonly kind: "answer"; readonly text: string }
  | { readonly kind: "none"; readonly why: string };

/** What the one behind has of the person in front. */
export interface Front {
  readonly io: Io;
  /** All is open: the one in front may go. */
  leave(): void;
}

/** The one in front, when this process was started by it. */
export function front({ io }: Pick<SshContext, "io">): Front | undefined {
  const attended = io.env[mark];
  if (attended === undefined || !process.connected) return undefined;
  let isLeft = false;
  process.on("disconnect", () => {
    // Whoever ended it does not want what it asked for.
    if (!isLeft) process.exit(1);
  });
  const send = (message: FromBehind): void => void process.send?.(message);
  const ask = async (question: string, secret: boolean): Promise<string> => {
    const answered = new Promise<ToBehind>((resolve) => process.once("message", resolve));
    send({ kind: "ask", question, secret });
    const answer = await answered;
    if (answer.kind === "answer") return answer.text;
    throw new Fault("unreachable", answer.why);
  };
  return {
    io: {
      ...io,
      terminal: { ...io.terminal, stdin: attended === "attended" },
      err: (line) => (isLeft ? io.err(line) : send({ kind: "say", line })),
      ask: (question) => ask(question, false),
      askSecret: (question) => ask(question, true),
    },
    leave() {
      isLeft = true;
      send({ kind: "open" });
    },
  };
}

/** Starts the one behind with our own command line, and waits until it has all open. Resolves to the exit code. */
export async function goBehind({ io, signal }: SshContext, { session }: Settings): Promise<number> {
  // The output is the command's. Without one nobody's reader is to wait for its end.
  const output = session ? "inherit" : "ignore";
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    env: { ...io.env, [mark]: io.terminal.stdin ? "attended" : "alone" },
    stdio: ["ignore", output, session ? "inherit" : "pipe", "ipc"],
  });
  child.stderr?.on("data", (chunk: Buffer) => void io.stderr.write(chunk));
  const end = (): void => void child.kill();
  signal.addEventListener("abort", end, { once: true });
  try {
    return await opened(child, io, signal);
  } finally {
    signal.removeEventListener("abort", end);
    signal.throwIfAborted();
  }
}

function opened(child: ChildProcess, io: Io, signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const answer = async ({ question, secret }: Extract<FromBehind, { kind: "ask" }>): Promise<ToBehind> => {
    try {
      const text = await (secret ? io.askSecret(question, signal) : io.ask(question, signal));
      return { kind: "answer", text };
    } catch (err) {
      return { kind: "none", why: (err as Error).message };
    }
  };
  child.on("message", async (message: FromBehind) => {
    if (message.kind === "say") io.err(message.line);
    else if (message.kind === "open") resolve(0);
    else {
      const text = await answer(message);
      if (child.connected) child.send(text);
    }
  });
  child.once("error", reject);
  child.once("close", (code) => resolve(code ?? 1));
  return promise;
}
