import type { Channel, Connection } from "../connection/channel.ts";
import { readSessionRequest, type SessionRequestName, sessionRequests } from "./requests.ts";

/** What a table of `sessionRequests` holds. */
type Fields<N extends SessionRequestName> = ReturnType<(typeof sessionRequests)[N]["decode"]>;

/** How a remote command ended; `signal` has no `SIG` before it. */
export type Exit =
  | { readonly code: number }
  | { readonly signal: string; readonly core: boolean; readonly message: string };

export type TerminalSize = Fields<"window-change">;

/** The client's end of a session (RFC 4254 §6). Set up with `pty` and `env`, start with one of `shell`, `exec`, `subsystem`. */
export interface Session {
  /** The command's input, output and error output. */
  readonly channel: Channel;
  /** Resolves when the session is over: undefined when the server did not say how it ended, or the connection is gone. */
  readonly exit: Promise<Exit | undefined>;
  /** Each resolves to whether the server agreed. */
  pty(terminal: Fields<"pty-req">): Promise<boolean>;
  env(name: string, value: string): Promise<boolean>;
  forwardAgent(): Promise<boolean>;
  shell(): Promise<boolean>;
  exec(command: string): Promise<boolean>;
  subsystem(name: string): Promise<boolean>;
  /** No reply is asked for. */
  resize(size: TerminalSize): Promise<void>;
  signal(signal: string): Promise<void>;
  /** RFC 4335: a break of so many milliseconds, 0 for what is usual there. No reply is asked for. */
  break(length: number): Promise<void>;
}

/**
 * Opens a session channel. Requests of the server other than those about its end go to `onRequest`; what it leaves
 * out, or no handler, is refused. Rejects as `Connection.open` does.
 */
export async function openSession(
  connection: Connection,
  onRequest: (name: string, payload: Uint8Array) => boolean | Promise<boolean> = () => false,
): Promise<Session> {
  const { channel } = await connection.open("session");
  let exit: Exit | undefined;
  channel.onRequest((name, payload) => {
    const request = readSessionRequest(name, payload);
    if (request?.name === "exit-status") exit = { code: request.body.code };
    else if (request?.name === "exit-signal") {
      const { signal, coreDumped: core, message } = request.body;
      exit = { signal, core, message };
    } else return onRequest(name, payload);
    return true;
  });
  const ask = <N extends SessionRequestName>(name: N, body: Fields<N>, wantReply = true): Promise<boolean> =>
    channel.request(name, sessionRequests[name].encode(body as never), wantReply);
  return {
    channel,
    exit: channel.closed.then(() => exit),
    pty: (terminal) => ask("pty-req", terminal),
    env: (name, value) => ask("env", { name, value }),
    forwardAgent: () => ask("auth-agent-req@openssh.com", {}),
    shell: () => ask("shell", {}),
    exec: (command) => ask("exec", { command }),
    subsystem: (name) => ask("subsystem", { name }),
    resize: async (size) => void (await ask("window-change", size, false)),
    signal: async (signal) => void (await ask("signal", { signal }, false)),
    break: async (length) => void (await ask("break", { length }, false)),
  };
}
