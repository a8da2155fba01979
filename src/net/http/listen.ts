import { createServer as createPlain, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import { type Millis, minute, second } from "#core/clock";
import type { Log } from "#core/log";
import type { Address } from "../address.ts";
import { ConnectionCap } from "../cap.ts";
import { endOf } from "../door.ts";
import { listen as bind, type Listen } from "../listen.ts";
import { lookAhead } from "../opening.ts";
import { checkTlsPair, type TlsPair } from "../tls.ts";

export interface HttpsListener extends AsyncDisposable {
  readonly address: Address;
  /** New connections get the new certificate at once; those that are open stay. Throws as `checkTlsPair`. */
  replace(pair: TlsPair): void;
  /** Takes no new connection, lets requests under way finish; those left when `signal` aborts are cut. */
  close(signal: AbortSignal): Promise<void>;
}

/** The first byte of a TLS handshake (RFC 8446 §5.1); no HTTP request begins with it. */
const tlsRecord = 0x16;

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
  /** Undefined: clear HTTP and nothing else, for a load balancer that has the certificate. */
  readonly pair: TlsPair | undefined;
  /** Peers that may speak clear HTTP at the same port, told by its first byte; default nobody. */
  readonly mayBeClear?: (address: string) => boolean;
  /** Peers of whom a PROXY line is taken; default nobody. */
  readonly mayBring?: (address: string) => boolean;
  /** OpenSSL's list of cipher suites; default Node's. */
  readonly ciphers?: string;
  /**
   * Takes the connections that begin with `SSH-`, none of whose bytes is lost, told the address of whoever is behind a load balancer. They
   * count for `maxConnections`, and are cut with all the others when the listener closes by force. Default: they are refused (OVW-12).
   */
  readonly ssh?: (socket: Socket, client: Address) => void;
  /** From one source at a time (CFG-17). */
  readonly maxConnections: number;
  readonly log: Log;
  readonly wait?: Patience;
  /** Default: binds the address. */
  readonly listen?: Listen;
}

/** Serves `app` over HTTPS, or without TLS where the door says so. Throws `unreachable` when the address cannot be had, naming the `setting` that chooses another. */
export async function listenHttps(app: Handler, door: HttpsDoor): Promise<HttpsListener> {
  const { address, setting, pair, maxConnections, log, wait = patience, listen = bind } = door;
  const suites = door.ciphers === undefined ? {} : { ciphers: door.ciphers };
  if (pair) checkTlsPair(pair);
  await app.ready();
  const times = {
    headersTimeout: wait.headers,
    requestTimeout: wait.request,
    keepAliveTimeout: wait.idle,
    connectionsCheckingInterval: Math.min(wait.headers / 2, 5 * second),
    maxHeaderSize: 16 * 1024,
  };
  const route = (request: IncomingMessage, response: ServerResponse): void => {
    // One that was taken before the server closed must not stay for as long as it has requests.
    if (!server.listening) response.shouldKeepAlive = false;
    app.routing(request, response);
  };
  const secure =
    pair &&
    createServer(
      {
        ...pair,
        ...suites,
        ...times,
        minVersion: "TLSv1.2",
        ALPNProtocols: ["http/1.1"],
        handshakeTimeout: wait.handshake,
      },
      route,
    );
  const plain = createPlain(times, route);
  const server = secure ?? plain;
  const servers = secure ? [secure, plain] : [plain];
  const { mayBring, mayBeClear, ssh } = door;
  if (mayBring || ssh || (secure && mayBeClear)) {
    lookAhead(server, {
      mayBring: mayBring ?? (() => false),
      patience: wait.handshake,
      elsewhere: (first, peer) => (secure && first !== tlsRecord && mayBeClear?.(peer) ? plain : undefined),
      ...(ssh && {
        ssh: (socket) => {
          // What HTTP is content with is not enough for a stream both of whose halves may end by themselves.
          socket.allowHalfOpen = true;
          socket.setNoDelay(true);
          ssh(socket, endOf(socket.remoteAddress, socket.remotePort));
        },
      }),
    });
  }
  for (const each of servers) each.maxHeadersCount = 100;
  // It never listens itself, and Node begins to look after slow and idle connections when a server does.
  if (secure) plain.emit("listening");
  // Also knows connections that have not finished their handshake, which the server itself does not.
  const open = new Set<Socket>();
  const cap = new ConnectionCap(maxConnections, log);
  server.on("connection", (socket: Socket) => {
    if (!cap.admit(socket)) return;
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  for (const each of servers) {
    each.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => answerBroken(error, socket));
  }
  const bound = await listen(server, address, setting);
  server.on("error", (error) => log.error("the listener failed", { error: error.message }));
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  const close = async (signal: AbortSignal): Promise<void> => {
    // It may have stopped listening before, and only wait for its last connection.
    if (server.listening || open.size > 0) {
      const closed = new Promise<void>((resolve) => server.once("close", () => resolve()));
      server.close();
      for (const each of servers) each.closeIdleConnections();
      if (signal.aborted) cut();
      else signal.addEventListener("abort", cut, { once: true });
      await closed;
      signal.removeEventListener("abort", cut);
    }
    if (secure) plain.close();
  };
  return {
    address: bound,
    replace(next) {
      checkTlsPair(next);
      secure?.setSecureContext({ ...next, ...suites, minVersion: "TLSv1.2" });
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
