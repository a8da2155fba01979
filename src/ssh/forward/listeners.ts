import type { Duplex } from "node:stream";
import type { Connection } from "../connection/channel.ts";
import {
  ForwardedStreamlocal,
  ForwardedTcpip,
  StreamlocalForward,
  TcpipForward,
  TcpipForwardReply,
} from "./requests.ts";
import { splice } from "./splice.ts";

/** Where to listen, in the client's words: a host and port (0 for any), or the path of a Unix socket. */
export type Bind =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Someone connected to a forwarded port or path. */
export interface Visitor {
  readonly stream: Duplex;
  /** Address of the visitor; empty and 0 on a Unix socket. */
  readonly host: string;
  readonly port: number;
}

/** What listens for a remote forward; the port is the real one, of no meaning for a path. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
}

/** Visitors of all forwards of a connection at a time; more are turned away. */
const maxVisitors = 1024;

/**
 * The server side of remote forwards (RFC 4254 §7, OpenSSH PROTOCOL §2.4) on one connection. Whether a client may
 * listen is up to `listen`, which throws to refuse. A connection can cancel its own forwards only: the table is its own.
 */
export class RemoteForwards implements AsyncDisposable {
  readonly #connection: Pick<Connection, "open" | "closed">;
  readonly #listen: (bind: Bind, visit: (visitor: Visitor) => void) => Promise<Listener>;
  readonly #listeners = new Map<string, Listener>();
  #visitors = 0;
  #over = false;

  constructor(
    connection: Pick<Connection, "open" | "closed">,
    listen: (bind: Bind, visit: (visitor: Visitor) => void) => Promise<Listener>,
  ) {
    this.#connection = connection;
    this.#listen = listen;
    void connection.closed.then(() => this[Symbol.asyncDispose]());
  }

  /** How many are open. */
  get size(): number {
    return this.#listeners.size;
  }

  /** Answers a global request about remote forwards as `Connection.onRequest` wants it; undefined for any other. */
  answer(name: string, payload: Uint8Array): Promise<Uint8Array | boolean> | undefined {
    switch (name) {
      case "tcpip-forward":
        return this.#open({ kind: "tcp", ...TcpipForward.decode(payload) });
      case "cancel-tcpip-forward":
        return this.#cancel({ kind: "tcp", ...TcpipForward.decode(payload) });
      case "streamlocal-forward@openssh.com":
        return this.#open({ kind: "unix", ...StreamlocalForward.decode(payload) });
      case "cancel-streamlocal-forward@openssh.com":
        return this.#cancel({ kind: "unix", ...StreamlocalForward.decode(payload) });
      default:
        return undefined;
    }
  }

  /** Stops listening; open forwarded channels go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener[Symbol.asyncDispose]()));
  }

  async #open(bind: Bind): Promise<Uint8Array | boolean> {
    // Port 0 becomes a real one, by which the client knows the forward once it has the reply: visitors wait till then.
    const known = Promise.withResolvers<Bind>();
    known.promise.catch(() => {});
    const listener = await this.#listen(bind, (visitor) => {
      known.promise.then(
        (actual) => this.#visit(actual, visitor),
        () => visitor.stream.destroy(),
      );
    }).catch((err: unknown) => {
      known.reject(err);
      throw err;
    });
    const actual = bind.kind === "tcp" ? { ...bind, port: listener.port } : bind;
    setImmediate(() => known.resolve(actual));
    if (this.#over) {
      await listener[Symbol.asyncDispose]();
      return false;
    }
    // Of the same name is only a socket that somebody has removed.
    await this.#listeners.get(keyOf(actual))?.[Symbol.asyncDispose]();
    this.#listeners.set(keyOf(actual), listener);
    if (bind.kind === "tcp" && bind.port === 0) return TcpipForwardReply.encode({ port: listener.port });
    return true;
  }

  async #cancel(bind: Bind): Promise<boolean> {
    const listener = this.#listeners.get(keyOf(bind));
    if (!listener) return false;
    this.#listeners.delete(keyOf(bind));
    await listener[Symbol.asyncDispose]();
    return true;
  }

  async #visit(bind: Bind, { stream, host, port }: Visitor): Promise<void> {
    const [kind, extra] =
      bind.kind === "tcp"
        ? ([
            "forwarded-tcpip",
            ForwardedTcpip.encode({
              host: bind.host,
              port: bind.port,
              originatorHost: host,
              originatorPort: port,
            }),
          ] as const)
        : ([
            "forwarded-streamlocal@openssh.com",
            ForwardedStreamlocal.encode({ path: bind.path, reservedText: "" }),
          ] as const);
    if (this.#visitors >= maxVisitors) return void stream.destroy();
    this.#visitors++;
    try {
      const { channel } = await this.#connection.open(kind, extra);
      await splice(channel, stream);
    } catch {
      // The visitor sees a closed connection; there is nobody else to tell.
      stream.destroy();
    } finally {
      this.#visitors--;
    }
  }
}

const keyOf = (bind: Bind): string =>
  bind.kind === "tcp" ? `tcp ${bind.port} ${bind.host}` : `unix ${bind.path}`;
