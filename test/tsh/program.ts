import type { Channel, Connection } from "#ssh";
import { readSessionRequest, type SessionRequest, sessionRequests } from "#ssh/session";

/** What a node does with one session: called for `shell` and `exec`. */
export type Program = (session: ServedSession) => Promise<void>;
export interface ServedSession {
  /** Undefined for a shell. */
  readonly command: string | undefined;
  readonly channel: Channel;
  readonly connection: Connection;
  /** What the client asked for before, in order. */
  readonly requests: readonly SessionRequest[];
  exit(code: number): Promise<void>;
  kill(signal: string): Promise<void>;
}

/** Serves a session by a program. The command `refused` is not started. */
export function serveProgram(channel: Channel, connection: Connection, run: Program): void {
  const requests: SessionRequest[] = [];
  const send = async (payload: Uint8Array, name: string): Promise<void> => {
    await channel.request(name, payload, false);
    await channel.end();
    await channel.close();
  };
  channel.onRequest((name, payload) => {
    const request = readSessionRequest(name, payload);
    if (!request) return false;
    requests.push(request);
    if (request.name === "exec" || request.name === "shell") {
      const command = request.name === "exec" ? request.body.command : undefined;
      if (command === "refused") return false;
      const session: ServedSession = {
        command,
        channel,
        connection,
        requests,
        exit: (code) => send(sessionRequests["exit-status"].encode({ code }), "exit-status"),
        kill: (signal) =>
          send(
            sessionRequests["exit-signal"].encode({ signal, coreDumped: false, message: "", language: "" }),
            "exit-signal",
          ),
      };
      // The connection may be what has failed.
      void run(session).catch(() => session.exit(1).catch(() => {}));
    }
    return true;
  });
}
