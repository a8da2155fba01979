import type { Socket } from "node:net";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";

/** Servers speak first, and at once; one that stays silent is left to the client. */
const patience: Millis = 3 * second;
/** What may come before a version (RFC 4253 §4.2), in bytes; beyond, it is the client's to judge. */
const enough = 8 * 1024;

/**
 * Waits until a host has begun to speak SSH, and leaves every byte in the socket. A host that hangs up instead has its
 * reason (SSH-64): rejects with `unreachable`, since who only passes bytes on could not tell the client any more.
 */
export async function greeted(socket: Socket, clock: Clock): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(patience, over.signal, { background: true }).then(
    () => "late" as const,
    () => "late" as const,
  );
  const heard: Buffer[] = [];
  let size = 0;
  try {
    while (size < enough) {
      const chunk = await Promise.race([next(socket), late]);
      if (chunk === "late") return;
      if (chunk === "ended") throw hungUp();
      heard.push(chunk);
      size += chunk.length;
      if (/^SSH-/m.test(Buffer.concat(heard).toString("latin1"))) return;
    }
  } finally {
    over.abort();
    if (size > 0) socket.unshift(Buffer.concat(heard));
  }
}

function next(socket: Socket): Promise<Buffer | "ended"> {
  const { promise, resolve } = Promise.withResolvers<Buffer | "ended">();
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) resolve(chunk);
  };
  const end = (): void => resolve("ended");
  socket.on("readable", look).once("end", end).once("error", end).once("close", end);
  // What is here already, the end too, is not told again.
  if (socket.readableEnded || socket.destroyed) end();
  else look();
  return promise.finally(() => {
    socket.off("readable", look).off("end", end).off("error", end).off("close", end);
  });
}

const hungUp = (): Fault =>
  new Fault(
    "unreachable",
    "ssh: handshake failed: EOF\nThe host closed the connection before it spoke: it may be limiting new connections (MaxStartups of sshd).",
  );
