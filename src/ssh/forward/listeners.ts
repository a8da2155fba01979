import type { Duplex } from "node:stream";
import { Fault } from "#core/errors";
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

const maxListeners = 128;

/**
 * The server side of remote forwards (RFC 4254 §7, OpenSSH PROTOCOL §2.4) on one connection. Whether a client may
 * listen is up to `listen`, which throws to refuse. A connection can cancel its own forwards only: the table is its own.
 */
export class RemoteForwards implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #listen: (bind: Bind, visit: (visitor: Visitor) => void) => Promise<Listener>;
  readonly #listeners = new Map<string, Listener>();
  #over = false;

  constructor(
    connection: Connection,
    listen: (bind: Bind, visit: (visitor: Visitor) => void) => Promise<Listener>,
  ) {
    this.#connection = connection;
    this.#listen = listen;
    void connection.closed.then(() => this[Symbol.asyncDispose]());
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
    if (this.#listeners.size >= maxListeners)
      throw new Fault("limit_exceeded", `${maxListeners} remote forwards are open on this connection`);
    if (this.#listeners.has(keyOf(bind))) return false;
    // Port 0 becomes a real one, by which the client will know the forward. Nobody visits before it is known.
    let actual = bind;
    const listener = await this.#listen(bind, (visitor) => void this.#visit(actual, visitor));
    if (bind.kind === "tcp") actual = { ...bind, port: listener.port };
    if (this.#over) {
      await listener[Symbol.asyncDispose]();
      return false;
    }
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
    try {
      const { channel } = await this.#connection.open(kind, extra);
      await splice(channel, stream);
    } catch {
      // The visitor sees a closed connection; there is nobody else to tell.
      stream.destroy();
    }
  }
}

const keyOf = (bind: Bind): string =>
  bind.kind === "tcp" ? `tcp ${bind.port} ${bind.host}` : `unix ${bind.path}`;
