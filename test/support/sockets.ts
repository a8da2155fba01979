import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { eventually } from "./eventually.ts";

/** What listens until it is disposed of, and its connections with it. */
export interface Server extends AsyncDisposable {
  /** `host:port` or the path, as ssh's options have it. */
  readonly name: string;
}

/** Answers each connection in capitals, once the other side has ended its half. */
export const shouting = (path?: string): Promise<Server> =>
  serve(path, async (socket) => void socket.end((await text(socket)).toUpperCase()));

/** A server on a free port of `host`, or on a path, that hands its connections to `take`. */
export async function serve(
  path: string | undefined,
  take: (socket: Socket) => Promise<void> | void,
  host = "127.0.0.1",
): Promise<Server> {
  const sockets = new Set<Socket>();
  const listening = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on("error", () => {}));
    void take(socket);
  });
  const where = path === undefined ? { host, port: 0 } : { path, writableAll: true };
  await new Promise<void>((resolve) => listening.listen(where, resolve));
  const address = listening.address();
  return {
    name: typeof address === "string" ? address : `${host}:${address?.port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => listening.close(() => resolve()));
    },
  };
}
/** A connection to `host:port` or a path, half-close kept. */
const open = (where: string): Socket => {
  const [, host, port] = /^(.*):(\d+)$/.exec(where) ?? [];
  const place = host === undefined ? { path: where } : { host, port: Number(port) };
  return connect({ ...place, allowHalfOpen: true });
};

/** The same once it stands, undefined when it is refused. */
export const reached = (where: string): Promise<Socket | undefined> => {
  const socket = open(where);
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket)).on("error", () => resolve(undefined));
  });
};

/** Sends, ends, and gives what comes back; through a SOCKS proxy that it goes through. */
export async function ask(
  where: string,
  question: string,
  { through }: { through?: string } = {},
): Promise<string> {
  const socket = await eventually(`somebody at ${where}`, () => reached(where));
  if (through !== undefined) await socks(socket, through);
  socket.end(question);
  return await text(socket);
}

/** SOCKS4: CONNECT to an IPv4 address. */
async function socks(socket: Socket, target: string): Promise<void> {
  const [host, port] = target.split(":") as [string, string];
  socket.write(Buffer.of(4, 1, Number(port) >> 8, Number(port) & 255, ...host.split(".").map(Number), 0));
  const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  socket.pause();
  assert.deepEqual([...answer.subarray(0, 2), answer.length], [0, 90, 8]);
}

/** Writes a block many times, at the other side's pace. */
export async function pour(socket: Socket, block: Buffer, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await new Promise((resolve) => socket.write(block, resolve));
}

/** SHA-256 in hex of all that comes. */
export async function sum(socket: Socket): Promise<string> {
  const hash = createHash("sha256");
  socket.on("data", (chunk) => hash.update(chunk));
  await new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
  return hash.digest("hex");
}

/** The same of a block many times. */
export function sumOf(block: Buffer, times: number): string {
  const hash = createHash("sha256");
  for (let i = 0; i < times; i++) hash.update(block);
  return hash.digest("hex");
}

/** What comes until the other side ends; iteration would close our side too. */
export async function text(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk)).resume();
  await new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
  return Buffer.concat(chunks).toString();
}

/** Until nobody listens there. */
export async function closed(where: string): Promise<void> {
  await eventually(`nobody at ${where}`, async () => {
    const socket = await reached(where);
    socket?.destroy();
    return socket === undefined;
  });
}
