import type { Duplex } from "node:stream";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { dial, parseAddress } from "#net";
import { type Connection, connect, duplex } from "#ssh";
import { checkCertificate, type PublicKey, type Signer, sameKey } from "#ssh/keys";
import { openSession } from "#ssh/session";
import type { HostAuthority } from "./keystore.ts";

export interface ConnectOptions {
  /** `host:port` of the proxy's SSH door. */
  readonly proxy: string;
  readonly signer: Signer;
  readonly authorities: readonly HostAuthority[];
  readonly clock: Clock;
  readonly log: Log;
  /** Text of the servers for the person, not to be trusted. */
  readonly onBanner?: (text: string) => void;
}

const version = "Teleport";

/** A connection to the proxy, and through it to everything else. */
export class ProxyConnection implements AsyncDisposable {
  readonly #options: ConnectOptions;
  readonly #connection: Connection;

  private constructor(options: ConnectOptions, connection: Connection) {
    this.#options = options;
    this.#connection = connection;
  }

  static async open(options: ConnectOptions, signal: AbortSignal): Promise<ProxyConnection> {
    const address = parseAddress(options.proxy, 3023);
    const principal = options.signer.publicKey.certificate?.principals[0];
    if (principal === undefined) throw new Fault("access_denied", "the certificate names no login");
    const stream = await dial(address, signal);
    try {
      const connection = await connect(
        {
          ...common(options),
          stream,
          // Any login of the certificate will do at the proxy; the node asks for the one that counts.
          user: principal,
          verifyHost: (key) => verifyProxy(key, options),
        },
        signal,
      );
      return new ProxyConnection(options, connection);
    } catch (err) {
      stream.destroy();
      throw err;
    }
  }

  /** A byte stream to what a `proxy:` subsystem names: `proxy:host:port@cluster`. Rejects with the proxy's own words. */
  async through(subsystem: string): Promise<Duplex> {
    const session = await openSession(this.#connection);
    const said = collect(session.channel.stderr);
    if (!(await session.subsystem(subsystem))) {
      await session.channel.close();
      const sentence = (await said).trim();
      throw new Fault("unreachable", sentence === "" ? "the proxy refused the connection" : sentence);
    }
    return duplex(session.channel);
  }

  /** The whole answer of a subsystem that says something and ends, e.g. `proxysites`. */
  async ask(subsystem: string): Promise<string> {
    const stream = await this.through(subsystem);
    const parts: Buffer[] = [];
    for await (const part of stream as AsyncIterable<Buffer>) parts.push(part);
    return Buffer.concat(parts).toString();
  }

  /** A connection of our own to a host, inside the proxy's: the proxy sees only what is encrypted for the host. */
  async toHost(
    target: { host: string; port: number; cluster: string; login: string },
    verifyUnknown: (key: PublicKey, why: Error) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Connection> {
    const { host, port, cluster, login } = target;
    const stream = await this.through(`proxy:${host.includes(":") ? `[${host}]` : host}:${port}@${cluster}`);
    try {
      return await connect(
        {
          ...common(this.#options),
          stream,
          user: login,
          verifyHost: async (key) => {
            try {
              verifyNode(key, host, cluster, this.#options);
            } catch (err) {
              await verifyUnknown(key, err as Error);
            }
          },
        },
        signal,
      );
    } catch (err) {
      stream.destroy();
      if (Fault.is(err, "access_denied") && /authenticat|refused|keys? (was|were)/i.test(err.message)) {
        throw new Fault("access_denied", `access denied to ${login} connecting to ${host}`, { cause: err });
      }
      throw err;
    }
  }

  get closed(): Promise<Error | undefined> {
    return this.#connection.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.disconnect();
    await this.#connection.closed;
  }
}

function common({ signer, clock, log, onBanner }: ConnectOptions) {
  return { version, signers: [signer], clock, log, ...(onBanner && { onBanner }) };
}

/** Any proxy of the cluster: its names may lie behind a balancer that it does not know, its role it cannot borrow. */
function verifyProxy(key: PublicKey, { authorities, clock }: ConnectOptions): void {
  const certificate = checkCertificate(key, {
    type: "host",
    isAuthority: (ca) => authorities.some((known) => sameKey(known.key, ca)),
    now: clock.now(),
  });
  if (certificate.extensions.get("x-teleport-role") !== "Proxy") {
    throw new Fault(
      "access_denied",
      "the proxy's address is answered by a host that is no proxy of a cluster we know",
    );
  }
}

/** The host must show a certificate of a CA of its cluster, for the name we asked for (TSH-25). */
function verifyNode(
  key: PublicKey,
  host: string,
  cluster: string,
  { authorities, clock }: ConnectOptions,
): void {
  const name = host.toLowerCase();
  const certificate = checkCertificate(key, {
    type: "host",
    isAuthority: (ca) => authorities.some((known) => sameKey(known.key, ca)),
    now: clock.now(),
  });
  const names = [name, `${name}.${cluster}`];
  if (!certificate.principals.some((principal) => names.includes(principal.toLowerCase()))) {
    throw new Fault(
      "access_denied",
      `the host that answers for ${host} has a certificate for other names: ${certificate.principals.join(", ")}`,
    );
  }
}

/** Error output of a proxy, bounded: it is shown to a person. */
async function collect(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    if (size < 8192) parts.push(part);
    size += part.length;
  }
  return Buffer.concat(parts).subarray(0, 8192).toString();
}
