import { lstat, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault } from "#core/errors";
import { dial, listen, socks } from "#net";
import { type Connection, duplex } from "#ssh";
import { AskedForwards, type Bind, DirectStreamlocal, DirectTcpip } from "#ssh/forward";
import { type Forward, placeText } from "./forward-spec.ts";
import type { Openings } from "./openings.ts";

export interface ForwardsOptions {
  readonly connection: Connection;
  readonly openings: Openings;
  /** Told why a visitor could not be served; untrusted text. */
  readonly warn: (text: string) => void;
  /** Put a socket of ours in the place of one that an earlier program left behind (`StreamLocalBindUnlink`). */
  readonly unlink: boolean;
}

interface Standing {
  readonly forward: Forward;
  /** Where visitors come: a port of 0 has become the real one. */
  readonly listen: Bind;
  stop(): Promise<unknown>;
}

/** The forwards of one connection to a host (`-L`, `-R`, `-D`): what listens, and who is being served. */
export class Forwards implements AsyncDisposable {
  readonly #options: ForwardsOptions;
  readonly #standing = new Set<Standing>();
  readonly #visitors = new Set<Duplex>();
  readonly #dialing = new AbortController();
  #asked: AskedForwards | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: ForwardsOptions) {
    this.#options = options;
    void options.connection.closed.then(() => this[Symbol.asyncDispose]());
  }

  /**
   * Listens for a forward. Resolves to where, with the real port. Throws `unreachable` with what to do when this machine
   * cannot listen there, `access_denied` when the host will not.
   */
  async open(forward: Forward): Promise<Bind> {
    const standing = await (forward.side === "local"
      ? this.#listenHere(forward)
      : this.#listenThere(forward));
    this.#standing.add(standing);
    return standing.listen;
  }

  /** Stops listening; connections go on. False when nothing listens there for this side. */
  async close(side: Forward["side"], where: Bind): Promise<boolean> {
    const found = [...this.#standing].find(
      ({ forward, listen }) => forward.side === side && placeText(listen) === placeText(where),
    );
    if (!found) return false;
    this.#standing.delete(found);
    await found.stop();
    return true;
  }

  /** What stands, a line each, and how many are being served. */
  list(): string[] {
    const lines = [...this.#standing].map(({ forward: { side, to, text }, listen }) => {
      const where = side === "remote" ? " there" : "";
      return `${text}: ${placeText(listen)}${where} to ${to === "socks" ? "where SOCKS clients say" : placeText(to)}`;
    });
    return [...lines, `${this.#visitors.size} forwarded connections`];
  }

  /** Connections that are being served. */
  get served(): number {
    return this.#visitors.size;
  }

  /** Stops listening, and resolves when the last connection is over. */
  async drain(): Promise<void> {
    await this.#stopListening();
    if (this.#visitors.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dialing.abort();
    await this.#stopListening();
    for (const visitor of this.#visitors) visitor.destroy();
    this.#onIdle?.();
  }

  async #stopListening(): Promise<void> {
    const all = [...this.#standing];
    this.#standing.clear();
    // A host that is gone cannot be told.
    await Promise.allSettled(all.map((one) => one.stop()));
  }

  async #listenHere(forward: Forward): Promise<Standing> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      void this.#serve(socket, forward, (place) => this.#reachThere(place, socket));
    });
    await listenOn(server, forward, this.#options.unlink);
    server.on("error", (err) => this.#options.warn(`${forward.text}: ${err.message}`));
    return { forward, listen: forward.listen, stop: () => new Promise((done) => server.close(done).unref()) };
  }

  async #listenThere(forward: Forward): Promise<Standing> {
    const { connection, openings } = this.#options;
    let asked = this.#asked;
    if (!asked) {
      this.#asked = asked = new AskedForwards(connection);
      openings.add((request) => this.#asked?.take(request) ?? false);
    }
    const listen = await asked.ask(forward.listen, (channel) => {
      void this.#serve(duplex(channel), forward, (place) => this.#reachHere(place));
    });
    return { forward, listen, stop: () => asked.cancel(listen) };
  }

  /** Serves one visitor to its end; nothing that goes wrong with it touches the others. */
  async #serve(
    visitor: Duplex,
    { to, text }: Forward,
    reach: (place: Bind) => Promise<Duplex>,
  ): Promise<void> {
    this.#visitors.add(visitor);
    visitor.on("error", () => {}); // it left in the middle
    try {
      const request = to === "socks" ? await (await socks()).readSocks(visitor) : undefined;
      const place: Bind = request ? { kind: "tcp", host: request.host, port: request.port } : (to as Bind);
      let other: Duplex;
      try {
        other = await reach(place);
      } catch (cause) {
        request?.answer(false);
        visitor.end(() => visitor.destroy());
        const why = (cause as Error).message;
        throw new Fault("unreachable", `no connection to ${placeText(place)}: ${why}`, { cause });
      }
      request?.answer(true);
      await join(visitor, other);
    } catch (err) {
      if (!this.#dialing.signal.aborted) this.#options.warn(`${text}: ${(err as Error).message}`);
      if (!visitor.writableEnded) visitor.destroy();
    } finally {
      this.#visitors.delete(visitor);
      if (this.#visitors.size === 0) this.#onIdle?.();
    }
  }

  /** A stream to a place on the host's side. */
  async #reachThere(place: Bind, { remoteAddress = "127.0.0.1", remotePort = 0 }: Socket): Promise<Duplex> {
    const { connection } = this.#options;
    const origin = { originatorHost: remoteAddress, originatorPort: remotePort };
    const { channel } =
      place.kind === "tcp"
        ? await connection.open("direct-tcpip", DirectTcpip.encode({ ...place, ...origin }))
        : await connection.open(
            "direct-streamlocal@openssh.com",
            DirectStreamlocal.encode({ ...place, reservedText: "", reservedNumber: 0 }),
          );
    return duplex(channel);
  }

  /** A stream to a place on this side. */
  async #reachHere(place: Bind): Promise<Duplex> {
    if (place.kind === "tcp") return dial(place, this.#dialing.signal);
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const socket = connect({ path: place.path, allowHalfOpen: true, signal: this.#dialing.signal });
    socket.once("connect", () => resolve(socket)).once("error", reject);
    return promise;
  }
}

/** Joins two streams until both directions have ended; a break ends both, and is nobody's fault. */
async function join(one: Duplex, other: Duplex): Promise<void> {
  await Promise.all([pipeline(one, other), pipeline(other, one)]).catch(() => {});
  one.destroy();
  other.destroy();
}

async function listenOn(server: Server, { listen: where, text }: Forward, unlink: boolean): Promise<void> {
  if (where.kind === "tcp") {
    await listen(server, where, `the port in \`${text}\``);
    return;
  }
  const { path } = where;
  if (unlink && (await lstat(path).catch(() => undefined))?.isSocket()) await rm(path, { force: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (cause: NodeJS.ErrnoException) => {
    const why =
      cause.code === "EADDRINUSE"
        ? "something is there already; remove it, give another path, or use -o StreamLocalBindUnlink=yes"
        : cause.message;
    reject(new Fault("unreachable", `cannot listen on ${path} (${text}): ${why}`, { cause }));
  });
  // The socket is there from here on: nobody but its owner may ever have got in.
  const mask = process.umask(0o177);
  try {
    server.listen({ path }, resolve);
  } finally {
    process.umask(mask);
  }
  await promise;
  server.removeAllListeners("error");
}
