import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import { type Millis, minute, second } from "#core/clock";
import type { Log } from "#core/log";
import type { Address } from "../address.ts";
import { listen as bind, type Listen } from "../listen.ts";
import { sourceOf } from "../source.ts";
import { checkTlsPair, type TlsPair } from "../tls.ts";

export interface HttpsListener extends AsyncDisposable {
  readonly address: Address;
  /** New connections get the new certificate at once; those that are open stay. Throws as `checkTlsPair`. */
  replace(pair: TlsPair): void;
  /** Takes no new connection, lets requests under way finish; those left when `signal` aborts are cut. */
  close(signal: AbortSignal): Promise<void>;
}

/** How long a client may take, so that slow ones cannot hold a server's connections. */
export interface Patience {
  readonly handshake: Millis;
  readonly headers: Millis;
  /** The whole request with its body. */
  readonly request: Millis;
  readonly idle: Millis;
}
const patience: Patience = { handshake: 10 * second, headers: 10 * second, request: minute, idle: minute };

/** The part of an application that a listener needs. */
interface Handler {
  ready(): PromiseLike<unknown>;
  routing(request: IncomingMessage, response: ServerResponse): void;
}

export interface HttpsDoor {
  readonly address: Address;
  /** The configuration key that chooses another address. */
  readonly setting: string;
  readonly pair: TlsPair;
  /** From one source at a time (CFG-17). */
  readonly maxConnections: number;
  readonly log: Log;
  readonly wait?: Patience;
  /** Default: binds the address. */
  readonly listen?: Listen;
}

/** Serves `app` over HTTPS. Throws `unreachable` when the address cannot be had, naming the `setting` that chooses another. */
export async function listenHttps(app: Handler, door: HttpsDoor): Promise<HttpsListener> {
  const { address, setting, pair, maxConnections, log, wait = patience, listen = bind } = door;
  checkTlsPair(pair);
  await app.ready();
  const server = createServer(
    {
      ...pair,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
      handshakeTimeout: wait.handshake,
      headersTimeout: wait.headers,
      requestTimeout: wait.request,
      keepAliveTimeout: wait.idle,
      connectionsCheckingInterval: Math.min(wait.headers / 2, 5 * second),
      maxHeaderSize: 16 * 1024,
    },
    (request, response) => {
      // One that was taken before the server closed must not stay for as long as it has requests.
      if (!server.listening) response.shouldKeepAlive = false;
      app.routing(request, response);
    },
  );
  server.maxHeadersCount = 100;
  // Also knows connections that have not finished their handshake, which the server itself does not.
  const open = new Set<Socket>();
  const perSource = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const source = sourceOf(socket.remoteAddress ?? "");
    const count = perSource.get(source) ?? 0;
    if (count >= maxConnections) {
      log.warn("too many connections from one source", { source });
      socket.destroy();
      return;
    }
    perSource.set(source, count + 1);
    open.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      const left = (perSource.get(source) ?? 1) - 1;
      if (left > 0) perSource.set(source, left);
      else perSource.delete(source);
    });
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => answerBroken(error, socket));
  const bound = await listen(server, address, setting);
  server.on("error", (error) => log.error("the listener failed", { error: error.message }));
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  const close = async (signal: AbortSignal): Promise<void> => {
    // It may have stopped listening before, and only wait for its last connection.
    if (!server.listening && open.size === 0) return;
    const closed = new Promise<void>((resolve) => server.once("close", () => resolve()));
    server.close();
    server.closeIdleConnections();
    if (signal.aborted) cut();
    else signal.addEventListener("abort", cut, { once: true });
    await closed;
    signal.removeEventListener("abort", cut);
  };
  return {
    address: bound,
    replace(next) {
      checkTlsPair(next);
      server.setSecureContext({ ...next, minVersion: "TLSv1.2" });
    },
    close,
    [Symbol.asyncDispose]: () => close(AbortSignal.abort()),
  };
}

/** Bytes that are no HTTP request, or one too slow or too big, get one line and the door. */
function answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
  const { code = "" } = error;
  // Everything else happened to the connection or its handshake, where no answer can be read.
  if (!socket.writable || !(code === "ERR_HTTP_REQUEST_TIMEOUT" || code.startsWith("HPE_"))) {
    socket.destroy();
    return;
  }
  const status =
    code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? "408 Request Timeout"
      : code === "HPE_HEADER_OVERFLOW"
        ? "431 Request Header Fields Too Large"
        : "400 Bad Request";
  const body = JSON.stringify({ message: status.slice(4).toLowerCase() });
  socket.write(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  socket.destroySoon();
}
