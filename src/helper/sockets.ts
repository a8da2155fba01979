import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { type Clock, type Millis, minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Account } from "./account.ts";
import { entry, helperEnv, quiet } from "./spawn.ts";

/** What the daemon asks `socket-server.ts`: first of all to become the login, unless the daemon runs as it. */
export type SocketRequest =
  | { readonly become: Pick<Account, "uid" | "gid" | "groups"> }
  | { readonly id: number; readonly connect: string }
  | { readonly id: number; readonly listen: string }
  /** `close` is the id with which listening began. */
  | { readonly id: number; readonly close: number };

/** With `done` after `connect`, and with `visitor` under the id of the listening, comes a socket. */
export type SocketAnswer =
  | { readonly id: number; readonly done: true }
  | { readonly id: number; readonly visitor: true }
  | { readonly id: number; readonly error: string };

interface Serving {
  readonly process: ChildProcess;
  readonly waiting: Map<number, PromiseWithResolvers<Socket | undefined>>;
  readonly visits: Map<number, (visitor: Socket) => void>;
  /** Aborts the wait for the end of a process that nobody uses. */
  leaving: AbortController | undefined;
}

/** A process that nobody uses stays that long: the next connection to the same database waits for no start of Node. */
const kept: Millis = minute;
/** The login may have stopped its process. */
const patience: Millis = 30 * second;

/**
 * Unix sockets with the rights of a login (OpenSSH PROTOCOL §2.4): one process for each login that uses them opens and
 * binds them (`socket-server.ts`), and hands over the descriptors, so that what passes is copied by the daemon alone.
 */
export class Sockets implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #uid: number;
  readonly #serving = new Map<string, Serving>();
  #lastId = 0;
  #closed = false;

  /** `uid` is the daemon's own. */
  constructor(parts: { clock: Clock; uid: number }) {
    this.#clock = parts.clock;
    this.#uid = parts.uid;
  }

  /** A connection to an absolute path, half-close kept. Rejects with `unreachable` and why. */
  async connect(account: Account, path: string): Promise<Socket> {
    const id = ++this.#lastId;
    const socket = await this.#ask(this.#of(account), { id, connect: path }).catch((err: Fault) => {
      throw new Fault("unreachable", `cannot connect to ${path}: ${err.message}`, { cause: err });
    });
    if (socket === undefined) throw new Fault("internal", `no connection to ${path} came`);
    return socket;
  }

  /**
   * Listens on an absolute path: the socket is the login's alone (0600), and gone when the result is disposed, unless
   * another has taken its place. Nothing that is there is removed for it. Rejects with `unreachable` and why.
   */
  async listen(account: Account, path: string, visit: (visitor: Socket) => void): Promise<AsyncDisposable> {
    const serving = this.#of(account);
    const id = ++this.#lastId;
    serving.visits.set(id, visit);
    try {
      await this.#ask(serving, { id, listen: path });
    } catch (err) {
      serving.visits.delete(id);
      // It may listen all the same, if it only was slow.
      send(serving, { id: ++this.#lastId, close: id });
      this.#leaveWhenUnused(serving);
      throw new Fault("unreachable", `cannot listen on ${path}: ${(err as Error).message}`, { cause: err });
    }
    return {
      [Symbol.asyncDispose]: async () => {
        if (!serving.visits.delete(id)) return;
        // A process that is gone has closed everything.
        await this.#ask(serving, { id: ++this.#lastId, close: id }).catch(() => {});
      },
    };
  }

  /** Ends the processes, and with them what they listen on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#serving.values()].map((serving) => leave(serving, this.#clock)));
  }

  #of(account: Account): Serving {
    if (this.#closed) throw new Fault("unreachable", "this node is stopping");
    const { uid, gid, groups } = account;
    const key = [uid, gid, ...groups].join();
    const known = this.#serving.get(key);
    if (known !== undefined) return known;
    const process = spawn(globalThis.process.execPath, [...quiet, entry("socket-server")], {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      env: helperEnv,
      cwd: "/",
      detached: true,
    });
    const serving: Serving = { process, waiting: new Map(), visits: new Map(), leaving: undefined };
    const gone = (): void => {
      if (this.#serving.get(key) === serving) this.#serving.delete(key);
      serving.leaving?.abort();
      for (const { reject } of serving.waiting.values())
        reject(new Fault("internal", "the process that opens sockets as this login ended"));
      serving.waiting.clear();
      serving.visits.clear();
    };
    process.once("error", gone);
    process.once("exit", gone);
    process.on("message", (message, handle) => {
      this.#take(serving, message as SocketAnswer, handle instanceof Socket ? handle : undefined);
    });
    this.#serving.set(key, serving);
    if (this.#uid === 0) send(serving, { become: { uid, gid, groups } });
    return serving;
  }

  async #ask(serving: Serving, request: Extract<SocketRequest, { id: number }>): Promise<Socket | undefined> {
    serving.leaving?.abort();
    serving.leaving = undefined;
    const answer = Promise.withResolvers<Socket | undefined>();
    serving.waiting.set(request.id, answer);
    send(serving, request);
    const answered = new AbortController();
    this.#clock.sleep(patience, answered.signal, { background: true }).then(
      () => answer.reject(new Fault("unreachable", "the process that opens sockets does not answer")),
      () => {},
    );
    try {
      return await answer.promise;
    } finally {
      answered.abort();
      serving.waiting.delete(request.id);
      this.#leaveWhenUnused(serving);
    }
  }

  #take(serving: Serving, message: SocketAnswer, socket: Socket | undefined): void {
    if (socket !== undefined) {
      // Sockets that come over the channel are made without it.
      socket.allowHalfOpen = true;
      socket.on("error", () => {});
    }
    if ("visitor" in message) {
      const visit = serving.visits.get(message.id);
      if (socket !== undefined && visit !== undefined) visit(socket);
      else socket?.destroy();
      return;
    }
    const waiting = serving.waiting.get(message.id);
    if (waiting === undefined) socket?.destroy();
    else if ("error" in message) waiting.reject(new Fault("unreachable", message.error));
    else waiting.resolve(socket);
  }

  #leaveWhenUnused(serving: Serving): void {
    if (serving.waiting.size > 0 || serving.visits.size > 0 || this.#closed) return;
    serving.leaving?.abort();
    const leaving = new AbortController();
    serving.leaving = leaving;
    this.#clock.sleep(kept, leaving.signal, { background: true }).then(
      () => {
        for (const [key, one] of this.#serving) if (one === serving) this.#serving.delete(key);
        void leave(serving, this.#clock);
      },
      () => {},
    );
  }
}

function send({ process }: Serving, request: SocketRequest): void {
  // A process that is gone tells by its exit.
  if (process.connected) process.send(request, () => {});
}

async function leave({ process, leaving }: Serving, clock: Clock): Promise<void> {
  leaving?.abort();
  if (process.exitCode !== null || process.signalCode !== null || process.pid === undefined) return;
  const ended = new AbortController();
  const end = new Promise<void>((resolve) => process.once("exit", () => resolve(ended.abort())));
  if (process.connected) process.disconnect();
  clock.sleep(2 * second, ended.signal).then(
    () => process.kill("SIGKILL"),
    () => {},
  );
  await end;
}
