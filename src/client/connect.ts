import type { Duplex } from "node:stream";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { dial, parseAddress } from "#net";
import { type Connection, connect, duplex } from "#ssh";
import { checkCertificate, type PublicKey, type Signer, sameKey } from "#ssh/keys";
import { openSession } from "#ssh/session";
import type { HostAuthority, HostKey } from "./keystore.ts";

export interface ConnectOptions {
  /** `host:port` of the proxy's SSH door. */
  readonly proxy: string;
  /** The cluster that the proxy is of. */
  readonly cluster: string;
  readonly signer: Signer;
  readonly authorities: readonly HostAuthority[];
  readonly hostKeys: readonly HostKey[];
  readonly clock: Clock;
  readonly log: Log;
  /** Text of the servers for the person, not to be trusted. */
  readonly onBanner?: (text: string) => void;
}

/** A host behind a proxy. Port 0 is whatever the host registered. */
export interface HostTarget {
  readonly host: string;
  readonly port: number;
  readonly cluster: string;
  readonly login: string;
}

const version = "Teleport";
/** How long a proxy may take to answer the dial. */
const dialTimeout: Millis = 30 * second;
/** A line that is dead without saying so is found after three times this. */
const keepAlive = { every: 60 * second, count: 3 };

/** A connection to the proxy, and through it to everything else. */
export class ProxyConnection implements AsyncDisposable {
  readonly #options: ConnectOptions;
  readonly #connection: Connection;

  private constructor(options: ConnectOptions, connection: Connection) {
    this.#options = options;
    this.#connection = connection;
  }

  /** Rejects with a sentence for the person; `signal` also ends the connection later. */
  static async open(options: ConnectOptions, signal: AbortSignal): Promise<ProxyConnection> {
    const { proxy, signer, clock } = options;
    const principal = signer.publicKey.certificate?.principals[0];
    if (principal === undefined) throw new Fault("access_denied", "the certificate names no login");
    const stream = await dialInTime(proxy, clock, signal);
    const verified = verifier((key) => verifyProxy(key, options));
    try {
      const connection = await connect(
        // Any login of the certificate will do at the proxy; the node asks for the one that counts.
        { ...common(options), stream, user: principal, verifyHost: verified.verify },
        signal,
      );
      return new ProxyConnection(options, connection);
    } catch (err) {
      stream.destroy();
      signal.throwIfAborted();
      throw verified.refusal ? notOurProxy(proxy, verified.refusal) : proxyFault(proxy, err);
    }
  }

  /** A byte stream to what a `proxy:` subsystem names: `proxy:host:port@cluster`. */
  async through(subsystem: string): Promise<Duplex> {
    return (await this.#start(subsystem)).stream;
  }

  /**
   * A stream, and what the proxy says on error output until it is closed: a proxy that refuses grants the request, says why
   * and closes, since OpenSSH's client would show nothing otherwise.
   */
  async #start(subsystem: string): Promise<{ stream: Duplex; said: Promise<string> }> {
    const session = await openSession(this.#connection);
    // Read to the end in any case: what nobody reads would fill the window.
    const said = collect(session.channel.stderr).then((text) => text.trim());
    if (!(await session.subsystem(subsystem).catch(() => false))) {
      await session.channel.close();
      throw new Fault("unreachable", (await said) || "the proxy refused the connection");
    }
    return { stream: duplex(session.channel), said };
  }

  /** The whole answer of a subsystem that says something and ends, e.g. `proxysites`. */
  async ask(subsystem: string): Promise<string> {
    const parts: Buffer[] = [];
    let size = 0;
    const { stream, said } = await this.#start(subsystem);
    for await (const part of stream as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > answerLimit) throw new Fault("protocol", "the proxy's answer is too large");
      parts.push(part);
    }
    if (size === 0) throw new Fault("unreachable", (await said) || "the proxy said nothing");
    return Buffer.concat(parts).toString();
  }

  /**
   * A connection of our own to a host, inside the proxy's: the proxy sees only what is encrypted for the host. The host
   * must show a certificate of its cluster for the name we asked for. One that has only a plain key, and not a known
   * one, is put to `acceptPlain`, which throws to refuse it.
   */
  async toHost(
    target: HostTarget,
    acceptPlain: (host: HostKey) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Connection> {
    const { host, port, cluster, login } = target;
    const named = host.includes(":") ? `[${host}]` : host;
    const { stream, said } = await this.#start(`proxy:${named}:${port}@${cluster}`);
    const verified = verifier(async (key) => {
      const plain = verifyHost(key, target, this.#options);
      if (plain) await acceptPlain(plain);
    });
    try {
      return await connect(
        { ...common(this.#options), stream, user: login, verifyHost: verified.verify, keepAlive },
        signal,
      );
    } catch (err) {
      stream.destroy();
      signal.throwIfAborted();
      if (verified.refusal) throw verified.refusal;
      if (Fault.is(err, "access_denied")) {
        throw new Fault("access_denied", `access denied to ${login} connecting to ${host}`, { cause: err });
      }
      // Closed now, so this ends.
      const refusal = await said;
      if (refusal !== "") throw new Fault("unreachable", refusal, { cause: err });
      throw new Fault("unreachable", `lost the connection to ${host}: ${(err as Error).message}`, {
        cause: err,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.disconnect();
    await this.#connection.closed;
  }
}

const answerLimit = 16 * 1024 * 1024; // bytes

function common({ signer, clock, log, onBanner }: ConnectOptions) {
  return { version, signers: [signer], clock, log, ...(onBanner && { onBanner }) };
}

async function dialInTime(proxy: string, clock: Clock, signal: AbortSignal): Promise<Duplex> {
  const late = new AbortController();
  const done = new AbortController();
  clock.sleep(dialTimeout, done.signal, { background: true }).then(
    () => late.abort(new Fault("unreachable", `the proxy ${proxy} does not answer`)),
    () => {}, // answered in time
  );
  try {
    return await dial(parseAddress(proxy, 3023), AbortSignal.any([signal, late.signal]));
  } finally {
    done.abort();
  }
}

/** A verifier that remembers its refusal: what it throws looks like any other failure to who only sees the connection fail. */
function verifier(check: (key: PublicKey) => void | Promise<void>) {
  const state: { refusal: Error | undefined; verify(key: PublicKey): Promise<void> } = {
    refusal: undefined,
    async verify(key) {
      try {
        await check(key);
      } catch (err) {
        state.refusal = err as Error;
        throw err;
      }
    },
  };
  return state;
}

const notOurProxy = (proxy: string, cause: Error): Fault =>
  new Fault(
    "access_denied",
    `what answers at ${proxy} is not the proxy that you logged in to: ${cause.message}; if the cluster was made anew, log in again`,
    { cause },
  );

function proxyFault(proxy: string, cause: unknown): Fault {
  if (Fault.is(cause, "access_denied")) {
    return new Fault(
      "access_denied",
      `the proxy ${proxy} does not accept your certificate: it has expired, or the cluster or your user has changed; log in again`,
      { cause },
    );
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Fault(
    "unreachable",
    `no SSH connection to the proxy ${proxy}: ${why}; check the SSH port of --proxy`,
    { cause },
  );
}

/** Any proxy of the cluster: its names may lie behind a balancer that it does not know, its role it cannot borrow. */
function verifyProxy(key: PublicKey, options: ConnectOptions): void {
  const certificate = ofCluster(key, options.cluster, options);
  if (certificate.extensions.get("x-teleport-role") !== "Proxy") {
    throw new Fault("access_denied", "it is a host of the cluster, but no proxy");
  }
}

/** Throws, or answers with the plain key that the user has to decide on (TSH-25). */
function verifyHost(
  key: PublicKey,
  { host, port, cluster }: HostTarget,
  options: ConnectOptions,
): HostKey | undefined {
  if (!key.certificate) {
    const name = `${host.toLowerCase()}:${port}@${cluster}`;
    const known = options.hostKeys.filter((one) => one.host === name);
    if (known.some((one) => sameKey(one.key, key))) return undefined;
    if (known.length === 0) return { host: name, key };
    throw new Fault(
      "access_denied",
      `${host} shows another key than the known one: somebody may be in between`,
    );
  }
  let certificate: ReturnType<typeof checkCertificate>;
  try {
    certificate = ofCluster(key, cluster, options);
  } catch (err) {
    throw new Fault(
      "access_denied",
      `${host} could not prove that it is a host of ${cluster}: ${(err as Error).message}`,
      { cause: err },
    );
  }
  const names = [host, `${host}.${cluster}`].map((name) => name.toLowerCase());
  if (!certificate.principals.some((principal) => names.includes(principal.toLowerCase()))) {
    throw new Fault(
      "access_denied",
      `the host that answers for ${host} has a certificate for other names: ${certificate.principals.join(", ")}`,
    );
  }
  return undefined;
}

/** A cluster's own authority counts, and no other: the hosts of one cluster must not pass for those of another. */
function ofCluster(
  key: PublicKey,
  cluster: string,
  { authorities, clock }: Pick<ConnectOptions, "authorities" | "clock">,
): ReturnType<typeof checkCertificate> {
  return checkCertificate(key, {
    type: "host",
    isAuthority: (ca) => authorities.some((known) => known.cluster === cluster && sameKey(known.key, ca)),
    now: clock.now(),
  });
}

/** Error output of a proxy, bounded: it is shown to a person. */
async function collect(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of stream) {
      if (size < 8192) parts.push(part);
      size += part.length;
    }
  } catch {
    // The connection broke; whoever uses it learns that elsewhere.
  }
  return Buffer.concat(parts).subarray(0, 8192).toString();
}
