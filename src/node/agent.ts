import { chmodSync, closeSync, constants, lchownSync, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "#core/log";
import type { Account } from "#helper";
import type { Connection } from "#ssh";
import { splice } from "#ssh/forward";

export interface AgentSocket extends Disposable {
  readonly path: string;
  /** Of the process that serves it: us. */
  readonly pid: number;
}

/**
 * Serves the client's agent on a socket that only the login can use (SSH-25). Everything is made in a folder that is
 * still ours and reached by its descriptor, and handed over at last, so that no link the login makes leads us elsewhere
 * (S53), neither now nor when the socket is removed.
 */
export async function serveAgent(
  connection: Connection,
  owner: Account | undefined,
  log: Log,
): Promise<AgentSocket> {
  const dir = mkdtempSync(join(tmpdir(), "teleport-"));
  const fd = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const name = `teleport-${process.pid}.socket`;
  const inside = `/proc/self/fd/${fd}/${name}`;
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket.once("close", () => open.delete(socket)));
    socket.on("error", () => {});
    connection
      .open("auth-agent@openssh.com")
      .then(({ channel }) => splice(channel, socket))
      .catch((err: Error) => {
        log.debug("agent not reached", { error: err.message });
        socket.destroy();
      });
  });
  server.maxConnections = 64;
  const remove = (): void => {
    for (const socket of open) socket.destroy();
    // Closing the server unlinks the socket, through the descriptor.
    server.close(() => {
      closeSync(fd);
      try {
        rmdirSync(dir);
      } catch {
        // The login has put something there, or moved it away: it is the login's.
      }
    });
  };
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(inside, resolve);
    });
    chmodSync(inside, 0o600);
    if (owner !== undefined) {
      lchownSync(inside, owner.uid, owner.gid);
      lchownSync(dir, owner.uid, owner.gid);
    }
  } catch (err) {
    remove();
    throw err;
  }
  return { path: join(dir, name), pid: process.pid, [Symbol.dispose]: remove };
}
