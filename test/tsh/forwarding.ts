import { once } from "node:events";
import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";
import type { ChannelRequest, Connection } from "#ssh";
import { OpenFailure } from "#ssh";
import {
  type Bind,
  DirectStreamlocal,
  DirectTcpip,
  type Listener,
  RemoteForwards,
  splice,
  type Visitor,
} from "#ssh/forward";

/** The host's side of forwards, to ports and sockets of this machine: for `-L`, `-D` and `-R`. Takes what is opened. */
export function serveForwards(connection: Connection): (request: ChannelRequest) => Promise<void> {
  const remote = new RemoteForwards(connection, listenFor);
  connection.onRequest((name, payload) => remote.answer(name, payload) ?? false);
  return async (request) => {
    const to = targetOf(request);
    if (!to) return;
    let socket: Socket;
    try {
      socket = await reach(to);
    } catch {
      return request.reject(OpenFailure.connectFailed, "nobody is there\u001b[2J");
    }
    void splice(request.accept(), socket).catch(() => {});
  };
}

async function listenFor(bind: Bind, visit: (visitor: Visitor) => void): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true }, (stream) =>
    visit({ stream, host: "192.0.2.7", port: 1 }),
  );
  server.listen(bind.kind === "tcp" ? { host: bind.host, port: bind.port } : { path: bind.path });
  await once(server, "listening");
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : 0,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

function targetOf({ kind, extra }: ChannelRequest): NetConnectOpts | undefined {
  if (kind === "direct-tcpip") {
    const { host, port } = DirectTcpip.decode(extra);
    return { host, port };
  }
  return kind === "direct-streamlocal@openssh.com"
    ? { path: DirectStreamlocal.decode(extra).path }
    : undefined;
}

async function reach(to: NetConnectOpts): Promise<Socket> {
  const socket = connect({ ...to, allowHalfOpen: true });
  await once(socket, "connect");
  socket.on("error", () => {});
  return socket;
}

/** A server that answers what it got, once that has ended, in capitals. */
export async function startShouting(at: { port: number; host: string } | { path: string }) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    let got = "";
    socket.on("data", (part: Buffer) => {
      got += part.toString();
    });
    socket.on("end", () => socket.end(got.toUpperCase()));
  });
  server.listen(at);
  await once(server, "listening");
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : 0,
    [Symbol.dispose]: () => void server.close(),
  };
}

/** Says something to a place, ends, and resolves to the whole answer. */
export async function say(
  text: string,
  to: NetConnectOpts,
  before?: (socket: Socket) => Promise<void>,
): Promise<string> {
  const socket = await reach(to);
  await before?.(socket);
  socket.end(text);
  return Buffer.concat((await socket.toArray()) as Buffer[]).toString();
}
