import type { Duplex } from "node:stream";
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
export async function greeted(socket: Duplex, clock: Clock): Promise<void> {
  const over = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let heard = Buffer.alloc(0);

  // Gives the bytes back in the very turn that read them: the end that may come with them is told a turn later, and
  // only while nothing is left to read. A stream whose end was told takes nothing back.
  const leave = (): void => {
    stopListening();
    if (heard.length > 0) socket.unshift(heard);
    resolve();
  };
  const hear = (): void => {
    heard = Buffer.concat([heard, (socket.read() as Buffer | null) ?? Buffer.alloc(0)]);
    if (heard.length >= enough || /^SSH-/m.test(heard.toString("latin1"))) leave();
  };
  const end = (): void => {
    stopListening();
    reject(hungUp());
  };
  const stopListening = (): void => {
    over.abort();
    socket.off("readable", hear);
    for (const event of ["end", "error", "close"]) socket.off(event, end);
  };

  socket.on("readable", hear);
  for (const event of ["end", "error", "close"]) socket.on(event, end);
  clock.sleep(patience, over.signal, { background: true }).then(leave, () => {});
  // What is here already, the end too, is not told again.
  if (socket.readableEnded || socket.destroyed) end();
  else hear();
  await promise;
}

const hungUp = (): Fault =>
  new Fault(
    "unreachable",
    "ssh: handshake failed: EOF\nThe host closed the connection before it spoke: it may be limiting new connections (MaxStartups of sshd).",
  );
