import type { Duplex } from "node:stream";
import { authoritiesRequest } from "#contract/names";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import { dial, formatAddress, parseAddress } from "#net";
import { type Connection, connect, duplex } from "#ssh";
import { DirectTcpip } from "#ssh/forward";
import type { PublicKey, Signer } from "#ssh/keys";
import { openSession } from "#ssh/session";
import type { Jump } from "./address.ts";
import type { HostKey } from "./keystore.ts";
import { type Trust, verifyHost, verifyJump, verifyProxy } from "./verify.ts";

export interface ConnectOptions extends Trust {
  /** `host:port` of the proxy's SSH door. */
  readonly proxy: string;
  readonly signer: Signer;
  readonly log: Log;
  /** How long a connection may take to be made; default 30 s. */
  readonly timeout?: Millis;
  /** How a line that is dead without saying so is found; default every minute, three times; false never asks. */
  readonly keepAlive?: { readonly every: Millis; readonly count: number } | false;
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
/** How long a proxy may take to answer the dial, and then to let us in. */
const defaultTimeout: Millis = 30 * second;
const defaultKeepAlive = { every: 60 * second, count: 3 };
/** Where a proxy and a node listen when nothing is said. */
const defaultPorts = { proxy: 3023, node: 3022 };

/** A connection to the proxy, or to a host that stands in for it (`-J`), and through it to everything else. */
export class ProxyConnection implements AsyncDisposable {
  readonly #options: ConnectOptions;
  readonly #connection: Connection;
  readonly #is: "proxy" | "node";
  readonly #alongside: Promise<void>[] = [];
  /** What carries this connection, and is of no other use. */
  readonly #below: ProxyConnection | undefined;

  private constructor(
    options: ConnectOptions,
    connection: Connection,
    is: "proxy" | "node",
    below?: ProxyConnection,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#is = is;
    this.#below = below;
  }

  /** Rejects with a sentence for the person; `signal` also ends the connection later. */
  static async open(options: ConnectOptions, signal: AbortSignal): Promise<ProxyConnection> {
    const { proxy } = options;
    const stream = await dialInTime(proxy, defaultPorts.proxy, options, signal);
    const verified = verifier((key) => verifyProxy(key, options));
    try {
      // Any login of the certificate will do at the proxy; the node asks for the one that counts.
      const connection = await connect(
        { ...common(options), stream, user: anyLogin(options), verifyHost: verified.verify },
        signal,
      );
      return new ProxyConnection(options, connection, "proxy");
    } catch (err) {
      stream.destroy();
      signal.throwIfAborted();
      throw verified.refusal ? notOurProxy(proxy, verified.refusal) : proxyFault(proxy, err);
    }
  }

  /**
   * A connection to the last of some hosts, each reached through the one before, in place of the proxy. Proxies of clusters
   * that are known here can be among them, and nodes, which `login` logs in to. As `open` otherwise.
   */
  static async jump(
    options: ConnectOptions,
    jumps: readonly Jump[],
    login: string,
    signal: AbortSignal,
  ): Promise<ProxyConnection> {
    let at: ProxyConnection | undefined;
    for (const jump of jumps) {
      try {
        at = await ProxyConnection.#over(jump, at, options, login, signal);
      } catch (cause) {
        await at?.[Symbol.asyncDispose]();
        signal.throwIfAborted();
        const why = (cause as Error).message;
        throw new Fault("unreachable", `cannot jump over ${jump.host}: ${why}`, { cause });
      }
    }
    if (!at) throw new Fault("bad_parameter", "no host is named to jump over");
    return at;
  }

  static async #over(
    jump: Jump,
    from: ProxyConnection | undefined,
    options: ConnectOptions,
    login: string,
    signal: AbortSignal,
  ): Promise<ProxyConnection> {
    const address = formatAddress({ host: jump.host, port: jump.port ?? defaultPorts.proxy });
    const stream = from
      ? (await from.#toward(jump.host, jump.port ?? 0, options.cluster)).stream
      : await dialInTime(address, defaultPorts.proxy, options, signal);
    const principals = options.signer.publicKey.certificate?.principals ?? [];
    const user = jump.login ?? (principals.includes(login) ? login : anyLogin(options));
    let is: "proxy" | "node" = "node";
    const verified = verifier((key) => {
      is = verifyJump(key, jump, options);
    });
    try {
      const connection = await connect(
        { ...common(options), stream, user, verifyHost: verified.verify },
        signal,
      );
      return new ProxyConnection(options, connection, is, from);
    } catch (err) {
      stream.destroy();
      throw verified.refusal ?? err;
    }
  }

  /** Whether sessions are recorded at the proxy, which needs the user's agent for that (TSH-25). */
  async recordsSessions(): Promise<boolean> {
    const answer = await this.#connection.request("recording-proxy@teleport.com", new Uint8Array(0), true);
    return answer !== undefined && Buffer.from(answer).toString() === "true";
  }

  /** What the proxy knows of the keys that certify the hosts of a cluster, as `authoritiesDigest`; undefined when it does not say. */
  async authorities(cluster: string): Promise<string | undefined> {
    const answer = await this.#connection.request(authoritiesRequest, Buffer.from(cluster), true);
    return answer && Buffer.from(answer).toString();
  }

  /** Work over this connection that its end waits for, but not for long. Must not reject. */
  alongside(work: Promise<void>): void {
    this.#alongside.push(work);
  }

  /**
   * A byte stream to what a `proxy:` subsystem names: `proxy:host:port@cluster`. `why` is for one that ends too early: what the
   * proxy has said, nothing when it said nothing.
   */
  async through(subsystem: string): Promise<{ stream: Duplex; why(): Promise<string> }> {
    const { stream, said } = await this.#start(subsystem);
    const late = (): Promise<string> => this.#options.clock.sleep(second).then(() => "");
    return { stream, why: () => Promise.race([said, late()]) };
  }

  /**
   * A stream, and what the proxy says on error output until it is closed: a proxy that refuses grants the request, says why
   * and closes, since OpenSSH's client would show nothing otherwise.
   */
  async #start(subsystem: string): Promise<{ stream: Duplex; said: Promise<string> }> {
    if (this.#is === "node") {
      throw new Fault(
        "bad_parameter",
        "the host to jump over is no proxy: name the host behind it by its name or address",
      );
    }
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
    const { stream, said } = await this.#toward(host, port, cluster);
    const { keepAlive: asked = defaultKeepAlive } = this.#options;
    const keepAlive = asked ? { keepAlive: asked } : {};
    const verified = verifier(async (key) => {
      const plain = verifyHost(key, target, this.#options);
      if (plain) await acceptPlain(plain);
    });
    try {
      return await connect(
        { ...common(this.#options), stream, user: login, verifyHost: verified.verify, ...keepAlive },
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

  /** A stream to a host: a proxy finds out where it is, a node dials what it is told. */
  async #toward(
    host: string,
    port: number,
    cluster: string,
  ): Promise<{ stream: Duplex; said: Promise<string> }> {
    if (this.#is === "proxy") {
      return this.#start(`proxy:${formatAddress({ host, port })}@${cluster}`);
    }
    const target = { host, port: port || defaultPorts.node, originatorHost: "127.0.0.1", originatorPort: 0 };
    const { channel } = await this.#connection.open("direct-tcpip", DirectTcpip.encode(target));
    return { stream: duplex(channel), said: Promise.resolve("") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#alongside.length > 0) {
      const late = this.#options.clock.sleep(longestGoodbye, undefined, { background: true });
      await Promise.race([Promise.all(this.#alongside), this.#connection.closed, late]);
    }
    this.#connection.disconnect();
    await this.#connection.closed;
    await this.#below?.[Symbol.asyncDispose]();
  }
}

/** How long what is done alongside may keep a command that is done. */
const longestGoodbye: Millis = 3 * second;

const answerLimit = 16 * 1024 * 1024; // bytes

function common({ signer, clock, log, onBanner, timeout = defaultTimeout }: ConnectOptions) {
  return { version, signers: [signer], clock, log, timeout, ...(onBanner && { onBanner }) };
}

function anyLogin({ signer }: ConnectOptions): string {
  const principal = signer.publicKey.certificate?.principals[0];
  if (principal === undefined) throw new Fault("access_denied", "the certificate names no login");
  return principal;
}

async function dialInTime(
  to: string,
  port: number,
  { clock, timeout = defaultTimeout }: ConnectOptions,
  signal: AbortSignal,
): Promise<Duplex> {
  const late = new AbortController();
  const done = new AbortController();
  clock.sleep(timeout, done.signal, { background: true }).then(
    () => late.abort(new Fault("unreachable", `the proxy ${to} does not answer`)),
    () => {}, // answered in time
  );
  try {
    return await dial(parseAddress(to, port), AbortSignal.any([signal, late.signal]));
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
    cause instanceof Fault && cause.details.clock !== undefined
      ? `the proxy at ${proxy} cannot prove who it is: ${cause.message}`
      : `what answers at ${proxy} is not the proxy that you logged in to: ${cause.message}; if the cluster was made anew, or its host CA rotated since, log in again`,
    { cause },
  );

function proxyFault(proxy: string, cause: unknown): Fault {
  if (Fault.is(cause, "access_denied")) {
    return new Fault(
      "access_denied",
      `the proxy ${proxy} does not accept your certificate: it has expired, or the cluster, its user CA or your user has changed; log in again`,
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
