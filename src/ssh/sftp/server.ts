import { Fault } from "#core/errors";
import { done, failure, statusAnswer } from "./answers.ts";
import { extendedHandlers } from "./extended.ts";
import type { Files } from "./files.ts";
import { Handles } from "./handles.ts";
import * as wire from "./messages.ts";
import { Packets } from "./packets.ts";
import { type Handler, handlers } from "./requests.ts";

/** The bytes of one client. */
export interface SftpLink {
  /** Fills some of `into`; 0 once the client has left. */
  read(into: Uint8Array): number | Promise<number>;
  /** Has taken all of `bytes` when it returns: they are overwritten then. */
  write(bytes: Uint8Array): void;
}

/** Requests that are worked on at a time. */
const maxInFlight = 64;

/**
 * Serves SFTP version 3 until the client leaves, then closes what it left open. Requests that only look (stat, readlink, …)
 * overlap and are answered as they complete; all others wait for those before them, so that a client may send a change
 * and what builds on it without waiting. What has been read ahead is at most two of the largest messages.
 * Throws `protocol` for a client that does not speak SFTP; and what `link` throws.
 */
export async function serveSftp(
  link: SftpLink,
  files: Files,
  { maxHandles }: { maxHandles: number },
): Promise<void> {
  const packets = new Packets();
  const session = new Session(link, files, maxHandles);
  try {
    while (true) {
      for (let message = packets.next(); message !== undefined; message = packets.next()) {
        const waiting = session.take(message);
        if (waiting !== undefined) await waiting;
      }
      // The messages lie where the next are read to.
      await session.idle();
      const count = await link.read(packets.room());
      if (count === 0) return;
      packets.filled(count);
    }
  } finally {
    await session.end();
  }
}

class Session {
  readonly #link: SftpLink;
  readonly #handles: Handles;
  readonly #handlers: ReadonlyMap<number, Handler>;
  readonly #extended: ReadonlyMap<string, Handler>;
  /** Answers are put together here, behind their length. */
  readonly #out = new Uint8Array(4 + wire.maxMessage);
  readonly #outView = new DataView(this.#out.buffer);
  readonly #running = new Set<Promise<void>>();
  #begun = false;

  constructor(link: SftpLink, files: Files, maxHandles: number) {
    this.#link = link;
    this.#handles = new Handles(maxHandles);
    this.#handlers = handlers(files, this.#handles);
    this.#extended = extendedHandlers(files, this.#handles, maxHandles);
  }

  /** Answers `message`, which must stay as it is until `idle`; undefined when it need not be waited for. */
  take(message: Uint8Array): Promise<void> | undefined {
    if (!this.#begun) return this.#begin(message);
    const { type, id } = wire.envelope(message);
    if (type === wire.Read.id) return this.#alone(() => this.#read(id, message));
    if (type === wire.Write.id) return this.#alone(() => this.#write(id, message));
    const handler = type === wire.Extended.id ? this.#extension(message) : this.#handlers.get(type);
    if (handler === undefined) {
      const answer = statusAnswer(id, wire.status.unsupported, "this is not served here");
      return this.#alone(() => this.#send(answer));
    }
    const work = (): Promise<void> =>
      handler
        .run(message)
        .catch((err: unknown) => failure(id, err))
        .then((answer) => this.#send(answer));
    return handler.looks ? this.#beside(work()) : this.idle().then(work);
  }

  /** Resolves when nothing is worked on; rejects when an answer could not be sent. */
  async idle(): Promise<void> {
    if (this.#running.size > 0) await Promise.all(this.#running);
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#handles.cut();
  }

  #begin(message: Uint8Array): undefined {
    if (message[0] !== wire.Init.id) throw new Fault("protocol", "an sftp client has to begin with INIT");
    const { version } = wire.Init.decode(message);
    if (version < wire.version)
      throw new Fault("protocol", `sftp version ${version} is not served, only ${wire.version}`);
    this.#begun = true;
    const extensions = Object.entries(wire.extensionVersions).map(([name, data]) => ({ name, data }));
    this.#send(wire.Version.encode({ version: wire.version, extensions }));
  }

  #beside(work: Promise<void>): Promise<void> | undefined {
    this.#running.add(work);
    work.then(
      () => this.#running.delete(work),
      // It stays, so that `idle` meets it.
      () => {},
    );
    return this.#running.size < maxInFlight ? undefined : Promise.race(this.#running);
  }

  #alone(work: () => void): Promise<void> | undefined {
    if (this.#running.size > 0) return this.idle().then(work);
    work();
    return undefined;
  }

  #send(answer: Uint8Array): void {
    this.#outView.setUint32(0, answer.length);
    this.#out.set(answer, 4);
    this.#link.write(this.#out.subarray(0, 4 + answer.length));
  }

  /** Straight from the file into the answer. */
  #read(id: number, message: Uint8Array): void {
    const head = 4 + 1 + 4 + 4;
    let count = 0;
    let instead = statusAnswer(id, wire.status.endOfFile, "end of file");
    try {
      const { handle, offset, length } = wire.Read.decode(message);
      const into = this.#out.subarray(head, head + Math.min(length, wire.maxData));
      count = this.#handles.file(handle).read(into, offset);
    } catch (err) {
      instead = failure(id, err);
    }
    if (count === 0) {
      this.#send(instead);
      return;
    }
    this.#outView.setUint32(0, head - 4 + count);
    this.#outView.setUint8(4, wire.DataAnswer.id);
    this.#outView.setUint32(5, id);
    this.#outView.setUint32(9, count);
    this.#link.write(this.#out.subarray(0, head + count));
  }

  #write(id: number, message: Uint8Array): void {
    let answer = done(id);
    try {
      const { handle, offset, data } = wire.Write.decode(message);
      this.#handles.file(handle).write(data, offset);
    } catch (err) {
      answer = failure(id, err);
    }
    this.#send(answer);
  }

  #extension(message: Uint8Array): Handler | undefined {
    try {
      return this.#extended.get(wire.Extended.decode(message).request);
    } catch (err) {
      if (!Fault.is(err, "protocol")) throw err;
      return { looks: true, run: () => Promise.reject(err) };
    }
  }
}
