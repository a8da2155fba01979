/**
 * Connects to Unix sockets and listens on them as one login, so that the file system decides by the login's rights and
 * whatever it makes belongs to it. The daemon gets the open descriptors: not a byte passes through here. Speaks
 * `SocketRequest` and `SocketAnswer`, see `sockets.ts`, on Node's own channel, which can carry descriptors; ends with it.
 */
import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { getSystemErrorMessage } from "node:util";
import { become } from "./become.ts";
import { closeInherited } from "./inherited.ts";
import type { SocketAnswer, SocketRequest } from "./sockets.ts";

/** open(2): only a place in the tree, for which the right to pass through is enough. */
const O_PATH = 0o10000000;

interface Listening {
  readonly server: Server;
  /** The folder of the socket. */
  readonly folder: number;
  readonly name: string;
  readonly inode: bigint | undefined;
}

closeInherited(3);
// As sshd's StreamLocalBindMask: what is bound is the login's alone.
process.umask(0o177);
const listening = new Map<number, Listening>();
process.on("message", obey);
process.once("disconnect", () => {
  for (const id of listening.keys()) close(id);
  process.exit(0);
});

function obey(request: SocketRequest): void {
  try {
    if ("become" in request) become(request.become);
    else if ("connect" in request) reach(request.id, request.connect);
    else if ("listen" in request) listen(request.id, request.listen);
    else {
      close(request.close);
      answer({ id: request.id, done: true });
    }
  } catch (err) {
    // Whatever it was to do as the login must not happen as anybody else.
    if ("become" in request) process.exit(255);
    answer({ id: request.id, error: plain(err as Error) });
  }
}

function reach(id: number, path: string): void {
  const socket = connect({ path, allowHalfOpen: true });
  // Nothing is read here: the first byte is for whoever gets the descriptor.
  socket.pause();
  const failed = (err: Error): void => answer({ id, error: plain(err) });
  socket.once("error", failed);
  socket.once("connect", () => {
    socket.off("error", failed);
    socket.on("error", () => {});
    answer({ id, done: true }, socket);
  });
}

function listen(id: number, path: string): void {
  // By the folder's descriptor: a socket is unlinked in the folder where it was made, and paths may be long.
  const folder = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
  const name = basename(path);
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    answer({ id, visitor: true }, socket);
  });
  const failed = (err: Error): void => {
    closeSync(folder);
    answer({ id, error: plain(err) });
  };
  server.once("error", failed);
  server.listen({ path: inside(folder, name) }, () => {
    server.off("error", failed);
    // Accepting failed: the next try may do better.
    server.on("error", () => {});
    listening.set(id, { server, folder, name, inode: inodeOf(folder, name) });
    answer({ id, done: true });
  });
}

function close(id: number): void {
  const found = listening.get(id);
  if (found === undefined) return;
  listening.delete(id);
  const { server, folder, name, inode } = found;
  // Closing unlinks by name. Another socket of that name is not ours to remove: without the folder there is no name.
  const ours = inode !== undefined && inodeOf(folder, name) === inode;
  if (!ours) closeSync(folder);
  server.close();
  if (ours) closeSync(folder);
}

const inside = (folder: number, name: string): string => `/proc/self/fd/${folder}/${name}`;

function inodeOf(folder: number, name: string): bigint | undefined {
  return lstatSync(inside(folder, name), { bigint: true, throwIfNoEntry: false })?.ino;
}

function answer(message: SocketAnswer, socket?: Socket): void {
  // The daemon may be gone in the meantime.
  process.send?.(message, socket, {}, () => {});
}

const plain = (err: NodeJS.ErrnoException): string =>
  err.code === "EADDRINUSE" ? "something of that name is there" : reason(err);

const reason = ({ errno, message }: NodeJS.ErrnoException): string =>
  errno === undefined ? message : getSystemErrorMessage(errno);
