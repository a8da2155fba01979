import type { Server, Socket } from "node:net";
import type { Millis } from "#core/clock";
import type { Address } from "./address.ts";
import { beginsProxyLine, readProxyLine } from "./proxy-line.ts";

export interface OpeningOptions {
  /** Peers of whom a PROXY line is taken. That of others is handed on as it came, which no protocol understands. */
  readonly mayBring: (address: string) => boolean;
  /** Reads a line `Teleport-Proxy{…}` without its NUL, which is taken off then; undefined or a throw: it is not to be believed. */
  readonly brought?: (line: string) => Address | undefined;
  /** Time until the first bytes are there. */
  readonly patience: Millis;
  /** What serves a connection that begins with this byte; undefined: the server itself. */
  readonly elsewhere?: (first: number, peer: string) => Server | undefined;
  /** Takes the connections that begin with `SSH-`, with these bytes and all else in it; undefined: they are as any others. */
  readonly ssh?: (socket: Socket) => void;
}

/**
 * Has the first bytes of each connection looked at before `server` serves it: a PROXY line is taken off, and the address
 * that it names is from then on the socket's `remoteAddress`, for TLS sockets too. For protocols whose clients speak first.
 */
export function lookAhead(
  server: Server,
  { mayBring, brought, patience, elsewhere, ssh }: OpeningOptions,
): void {
  const claimed = new Map<string, Address>();
  const own = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const peer = socket.remoteAddress ?? "";
    const looks = { takesLine: mayBring(peer), brought, patience, asksForSsh: ssh !== undefined };
    readOpening(socket, looks, ({ first, isSsh, client }) => {
      if (client) {
        const key = nameOf(socket);
        claimed.set(key, client);
        socket.once("close", () => claimed.delete(key));
        rename(socket, client);
      }
      if (isSsh && ssh) {
        ssh(socket);
        return;
      }
      const other = elsewhere?.(first, peer);
      if (other) other.emit("connection", socket);
      else for (const serve of own) serve.call(server, socket);
      // A server of plain HTTP waits for what is unshifted until the stream flows.
      process.nextTick(() => socket.resume());
    });
  });
  // A TLS socket asks the handle below for its peer.
  server.prependListener("secureConnection", (socket: Socket) => {
    const client = claimed.get(nameOf(socket));
    if (client) rename(socket, client);
  });
}

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

function rename(socket: Socket, { host, port }: Address): void {
  Object.defineProperties(socket, { remoteAddress: { value: host }, remotePort: { value: port } });
}

function readOpening(
  socket: Socket,
  {
    takesLine,
    brought,
    patience,
    asksForSsh,
  }: {
    takesLine: boolean;
    brought: OpeningOptions["brought"] | undefined;
    patience: Millis;
    asksForSsh: boolean;
  },
  done: (opening: {
    readonly first: number;
    readonly isSsh: boolean;
    readonly client: Address | undefined;
  }) => void,
): void {
  let held: Buffer = Buffer.alloc(0);
  let client: Address | undefined;
  let mayBeLine = takesLine;
  let mayBeBrought = brought;
  const giveUp = (): void => void socket.destroy();
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    held = Buffer.concat([held, chunk]);
    if (mayBeLine && beginsProxyLine(held)) {
      const line = lineOf(held);
      if (line === "broken") {
        giveUp();
        return;
      }
      if (!line) return;
      client = line.client;
      held = line.rest;
      // One line and no more: what is behind it is the client's own.
      mayBeLine = false;
    }
    if (mayBeBrought && begins(held, broughtWord)) {
      const end = held.indexOf(0);
      if (end < 0 && held.length <= longestBrought) return;
      if (end < 0) {
        giveUp();
        return;
      }
      const line = held.toString("utf8", 0, end);
      const read = mayBeBrought;
      client = attempt(() => read(line)) ?? client;
      held = held.subarray(end + 1);
      mayBeBrought = undefined;
    }
    const [first] = held;
    if (first === undefined) return;
    const isSsh = asksForSsh && begins(held, sshWord);
    if (isSsh && held.length < sshWord.length) return;
    socket.removeListener("readable", onReadable);
    socket.removeListener("timeout", giveUp);
    socket.removeListener("end", giveUp);
    socket.setTimeout(0);
    socket.unshift(held);
    done({ first, isSsh, client });
  };
  socket.on("error", giveUp);
  socket.once("timeout", giveUp);
  socket.once("end", giveUp);
  socket.setTimeout(patience);
  socket.on("readable", onReadable);
}

/** What one proxy of ours says of its client may be so long. */
const longestBrought = 8 * 1024;
const broughtWord = "Teleport-Proxy";

/** RFC 4253 §4.2. No request of HTTP that is served begins so, and no TLS record. */
const sshWord = "SSH-";

/** Whether `held` begins with the word, or may still turn out to. */
function begins(held: Buffer, word: string): boolean {
  const known = held.toString("latin1", 0, word.length);
  return known.length > 0 && word.startsWith(known);
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function lineOf(held: Buffer) {
  try {
    return readProxyLine(held);
  } catch {
    return "broken" as const;
  }
}
