import { createServer, type Server } from "node:net";
import { Fault } from "#core/errors";
import { addressesOf, formatAddress } from "#net";
import { tell } from "#session";
import type { Connection } from "#ssh";
import { type Bind, type Listener, RemoteForwards, type Visitor } from "#ssh/forward";
import { isSocketPath } from "./forward.ts";
import { causeOf, mayForward, permitted } from "./may-forward.ts";
import { type Host, touching, type Visit } from "./visit.ts";

/** Forwards that one connection may have open. */
const maxForwards = 128;
/** Below are the ports of services that people believe in: only root's. */
const firstFreePort = 1024;
/** How often a port that is free on one loopback address may be taken on the other. */
const tries = 8;

/** What this client's `-R` asks for (SSH-31), when the roles allow it; told either way. Ends with the connection. */
export function remoteForwards(visit: Visit, host: Host): RemoteForwards {
  const { connection } = visit;
  // A visitor's client is at work, so it counts for the idle timeout.
  const watched: Pick<Connection, "open" | "closed"> = {
    closed: connection.closed,
    async open(kind, extra) {
      const opened = await connection.open(kind, extra);
      return { ...opened, channel: touching(opened.channel, visit.activity) };
    },
  };
  const forwards = new RemoteForwards(watched, async (bind, visitor) => {
    try {
      mayForward(visit);
      if (forwards.size >= maxForwards)
        throw new Fault("limit_exceeded", `${maxForwards} forwards are open on this connection`);
      const listener = await listen(bind, visitor, visit, host);
      told(bind.kind === "tcp" ? { ...bind, port: listener.port } : bind, visit, host);
      return listener;
    } catch (err) {
      told(bind, visit, host, causeOf(err));
      throw err;
    }
  });
  return forwards;
}

async function listen(
  bind: Bind,
  visitor: (visitor: Visitor) => void,
  visit: Visit,
  { sockets, labels }: Host,
): Promise<Listener> {
  const { account } = visit;
  if (bind.kind === "tcp") {
    if (bind.port > 65_535) throw new Fault("bad_parameter", `there is no port ${bind.port}`);
    if (bind.port !== 0 && bind.port < firstFreePort && account.uid !== 0)
      throw new Fault("access_denied", `ports below ${firstFreePort} are for root`);
    const addresses = await boundBy(bind.host);
    await permitted([{ kind: "listen", host: bind.host, addresses, port: bind.port }], visit, labels());
    return listenOnPort(bind.host, addresses, bind.port, visitor);
  }
  const { path } = bind;
  if (!isSocketPath(path)) throw new Fault("bad_parameter", "the path of a socket begins with /");
  await permitted([{ kind: "listen", path }], visit, labels());
  const listening = await sockets.listen(account, path, (stream) => visitor({ stream, host: "", port: 0 }));
  return { port: 0, [Symbol.asyncDispose]: () => listening[Symbol.asyncDispose]() };
}

/**
 * The addresses that RFC 4254 §7.1 means by `host`: all of the machine, so none by name, when it is empty, which clients send
 * only when they are told to, both loopbacks for `localhost`, else the one that is named (`GatewayPorts clientspecified` of sshd).
 */
async function boundBy(host: string): Promise<readonly string[]> {
  if (host === "" || host === "*") return [];
  if (host === "localhost") return ["127.0.0.1", "::1"];
  return (await addressesOf(host)).slice(0, 1);
}

async function listenOnPort(
  host: string,
  addresses: readonly string[],
  port: number,
  visitor: (visitor: Visitor) => void,
): Promise<Listener> {
  if (addresses.length === 0) {
    try {
      return listenerOf(await bound({ host: "::", port }, visitor));
    } catch (err) {
      if (!isMissing(err)) throw failed(host, port, err);
      return onEach(["0.0.0.0"], host, port, visitor);
    }
  }
  return onEach(addresses, host, port, visitor);
}

/** The same port on all addresses, less those of a family that this machine does not have. */
async function onEach(
  addresses: readonly string[],
  host: string,
  port: number,
  visitor: (visitor: Visitor) => void,
): Promise<Listener> {
  for (let left = port === 0 ? tries : 1; ; left--) {
    const servers: Server[] = [];
    try {
      let missing: unknown;
      for (const address of addresses) {
        const chosen = servers[0] === undefined ? port : portOf(servers[0]);
        try {
          servers.push(await bound({ host: address, port: chosen, ipv6Only: true }, visitor));
        } catch (err) {
          if (!isMissing(err)) throw err;
          missing = err;
        }
      }
      if (servers.length === 0) throw missing;
      return listenerOf(...servers);
    } catch (err) {
      for (const server of servers) server.close();
      if (left <= 1) throw failed(host, port, err);
    }
  }
}

async function bound(
  where: { host: string; port: number; ipv6Only?: boolean },
  visitor: (visitor: Visitor) => void,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => {});
    visitor({ stream: socket, host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      // Accepting failed: the next try may do better.
      server.on("error", () => {});
      resolve();
    });
  });
  return server;
}

const listenerOf = (...servers: readonly [Server, ...Server[]] | Server[]): Listener => ({
  port: portOf(servers[0] as Server),
  async [Symbol.asyncDispose]() {
    // Nobody new is let in from here on; it is not waited for those who are.
    for (const server of servers) server.close();
  },
});

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** The address, or its whole family, is not there. */
const isMissing = (err: unknown): boolean =>
  ["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes((err as NodeJS.ErrnoException).code ?? "");

function failed(host: string, port: number, cause: unknown): Fault {
  const why = {
    EADDRINUSE: "the port is taken",
    EADDRNOTAVAIL: "that is no address of this machine",
    EACCES: "this node may not use that port",
    ENOTFOUND: "no such host",
  }[(cause as NodeJS.ErrnoException).code ?? ""];
  const where = formatAddress({ host, port });
  return new Fault("unreachable", `cannot listen on ${where}: ${why ?? (cause as Error).message}`, { cause });
}

function told(bind: Bind, { who }: Visit, { telling }: Host, error?: string): void {
  if (bind.kind === "tcp") {
    const what = { ...who, addr: formatAddress(bind) };
    if (error === undefined) tell({ code: "T4032I", ...what, success: true }, telling);
    else tell({ code: "T4032E", ...what, success: false, error }, telling);
    return;
  }
  const what = { ...who, path: bind.path, direction: "remote" } as const;
  if (error === undefined) tell({ code: "T4033I", ...what, success: true }, telling);
  else tell({ code: "T4033E", ...what, success: false, error }, telling);
}
