import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import type { z } from "zod";
import type { AuthContract } from "#contract/auth";
import { authorityLabel } from "#contract/names";
import type { Client } from "#contract/rpc";
import { authShapes } from "#contract/shapes";
import { linesType, operationPath, packing, versionHeader } from "#contract/wire";
import { type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { plain } from "#net";
import { authorityPin } from "#pki";

export interface AuthClientOptions {
  /** Opens a byte stream to an auth server: TCP, or a channel through a proxy. Rejects with a `Fault`. */
  readonly dial: () => Promise<Duplex>;
  /** Our certificate and key, PEM; a function where they are renewed. Absent for a stranger that only joins. */
  readonly certificate?: Certificate | (() => Certificate);
  /**
   * PEM certificates of the cluster's host CA; a function where they are rotated. Absent only to fetch them for a check by pin:
   * then nobody is verified.
   */
  readonly authorities?: readonly string[] | (() => readonly string[]);
  /** The cluster we mean; tells the server which of its CAs our certificate is of (OVW-24). */
  readonly clusterName?: string;
  /** This program's version, for the server's compatibility check. */
  readonly version: string;
  /** What the way to the server has said of its failure; nothing when it has not. Asked when a connection fails. */
  readonly why?: () => Promise<string>;
  /** How long the server may say nothing, which the system itself would bear for a quarter of an hour; default 30 s. */
  readonly silence?: Millis;
}

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A client of the auth API over mutual TLS. `close` ends its connections. */
export type AuthClient = Client<AuthContract> & { close(): void };

/** What a caller goes on saying to a feed; the signal aborts when the feed is over. */
type Say = (signal: AbortSignal) => AsyncIterable<unknown>;

const answerLimit = 64 * 1024 * 1024; // bytes of one JSON answer
/** Reads whole recordings before it answers, however large. */
const unhurried = operationPath("recordings.finish");

export function openAuthClient(options: AuthClientOptions): AuthClient {
  const { silence = 30 * second } = options;
  const agent = new Agent({ keepAlive: true, maxSockets: 16, scheduling: "lifo" });
  const certificate = (): Certificate | undefined =>
    typeof options.certificate === "function" ? options.certificate() : options.certificate;
  const authorities = (): readonly string[] | undefined =>
    typeof options.authorities === "function" ? options.authorities() : options.authorities;
  const carriers = new WeakMap<object, Duplex>();
  agent.createConnection = ({ cert, key, ca }, done) => {
    options.dial().then(
      (stream) => {
        const socket = connect({
          socket: stream,
          servername: serverName(options.clusterName, authorities()?.[0]),
          ALPNProtocols: ["http/1.1"],
          minVersion: "TLSv1.2",
          rejectUnauthorized: options.authorities !== undefined,
          ...(ca !== undefined && { ca }),
          ...(cert !== undefined && key !== undefined && { cert, key }),
        });
        carriers.set(socket, stream);
        // A stream that dies takes TLS with it; without this a reset below would be an unhandled error.
        stream.once("error", (err) => socket.destroy(err));
        done?.(null, socket);
      },
      (err: Error) => done?.(away(err), undefined as never),
    );
    return undefined;
  };
  const client = clientOf({
    why: options.why,
    start(method, path, headers, signal) {
      const trusted = authorities();
      const sent = request({
        agent,
        method,
        path,
        // The agent tells connections apart by these: one made with a certificate of before is not used again, or calls
        // would be refused once that has expired; nor one to a server that an authority of before has vouched for.
        ...certificate(),
        ...(trusted && { ca: [...trusted] }),
        headers: { host: serverName(options.clusterName), [versionHeader]: options.version, ...headers },
        ...(path !== unhurried && { timeout: silence }),
        ...(signal && { signal }),
      });
      sent.once("timeout", () => {
        // Those that wait for a next call lead to the same nowhere.
        for (const idle of Object.values(agent.freeSockets).flat()) idle?.destroy();
        const said = `the auth server did not answer within ${silence / second} s`;
        sent.on("error", () => {}); // the end of the connection is one more
        sent.emit("error", new Fault("unreachable", said, { details: noAnswer }));
        // Else the system would go on sending it, and it could arrive after the caller has said it again.
        const carrier = sent.socket && carriers.get(sent.socket);
        if (carrier instanceof Socket) carrier.resetAndDestroy();
        sent.destroy();
      });
      return sent;
    },
  });
  return Object.assign(client, { close: () => agent.destroy() });
}

/**
 * `<hex of the cluster's name>.teleport.cluster.local`; every auth server's certificate has the wildcard (OVW-24). A member says
 * there which authority it knows: over a rotation the server has a certificate of each.
 */
function serverName(clusterName: string | undefined, authority?: string): string {
  if (clusterName === undefined)
    return authority === undefined
      ? "teleport.cluster.local"
      : `${authorityLabel(authorityPin(authority))}.teleport.cluster.local`;
  // A label holds 63 characters: longer names are known by the plain name, which every auth server has too.
  const label = Buffer.from(clusterName).toString("hex");
  return label.length > 63 ? "teleport.cluster.local" : `${label}.teleport.cluster.local`;
}

interface Wire {
  start(
    method: string,
    path: string,
    headers: Record<string, string | number>,
    signal: AbortSignal | undefined,
  ): ClientRequest;
  readonly why: AuthClientOptions["why"];
}

function clientOf(wire: Wire): Client<AuthContract> {
  const client: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(authShapes)) {
    const path = operationPath(name);
    const output = (): Promise<z.ZodType> => outputOf(name as keyof AuthContract);
    const ask = async (input: unknown, signal: AbortSignal | undefined): Promise<unknown> => {
      const body = Buffer.from(JSON.stringify(input ?? {}));
      const understood = shape === "many" && { "accept-encoding": packing };
      const headers = { "content-type": "application/json", "content-length": body.length, ...understood };
      const sent = wire.start("POST", path, headers, signal);
      sent.end(body);
      return wholeAnswer(await answerTo(sent, signal, wire.why));
    };
    client[name] = {
      many: ask,
      call: async (input: unknown, signal?: AbortSignal) => {
        const value = await ask(input, signal);
        return (await output()).parse(value);
      },
      upload: async (input: unknown, body: AsyncIterable<Uint8Array>, signal?: AbortSignal) => {
        const query = `?input=${encodeURIComponent(JSON.stringify(input ?? {}))}`;
        const sent = wire.start("PUT", path + query, { "content-type": "application/octet-stream" }, signal);
        const answer = answerTo(sent, signal, wire.why);
        const [, answered] = await Promise.allSettled([pipeline(body, sent), answer]);
        // The server's refusal says more than the broken pipe that it causes.
        if (answered.status === "rejected") throw answered.reason;
        return (await output()).parse(await wholeAnswer(answered.value));
      },
      feed: (input: unknown, signal?: AbortSignal, say?: Say) =>
        feedLines({ wire, path, output, input }, signal, say),
    }[shape];
  }
  return client as Client<AuthContract>;
}

/** What the contract says of an answer. Who asks for lists only never loads it. */
async function outputOf(name: keyof AuthContract): Promise<z.ZodType> {
  contract ??= import("#contract/auth");
  return (await contract).authContract[name].output;
}
let contract: Promise<{ readonly authContract: AuthContract }> | undefined;

async function* feedLines(
  {
    wire,
    path,
    input,
    output,
  }: { wire: Wire; path: string; input: unknown; output: () => Promise<z.ZodType> },
  signal: AbortSignal | undefined,
  say: Say | undefined,
): AsyncGenerator<unknown> {
  const body = Buffer.from(JSON.stringify(input ?? {}));
  const headers = say
    ? { "content-type": linesType }
    : { "content-type": "application/json", "content-length": body.length };
  const sent = wire.start("POST", path, headers, signal);
  if (say) sent.write(`${body}\n`);
  else sent.end(body);
  const answer = await answerTo(sent, signal, wire.why);
  // From here on silence may be ours: we read when we can use it.
  sent.setTimeout(0);
  const over = new AbortController();
  if (say) void talk(sent, say(over.signal));
  try {
    const schema = await output();
    for await (const line of lines(answer)) {
      const { value, fault, end } = parseJson(line) as { value?: unknown; fault?: unknown; end?: unknown };
      if (fault !== undefined) throw await faultOf(fault);
      if (end === true) return;
      yield schema.parse(value);
    }
    throw new Fault("unreachable", "lost the connection to the auth server: it ended half-way", {
      details: noAnswer,
    });
  } catch (err) {
    if (signal?.aborted) return;
    throw err instanceof Fault ? err : lost(err);
  } finally {
    over.abort();
    answer.destroy();
  }
}

/** What goes wrong here goes wrong for who listens too, and is told there. */
async function talk(sent: ClientRequest, said: AsyncIterable<unknown>): Promise<void> {
  sent.on("error", () => {});
  try {
    for await (const one of said) {
      if (sent.destroyed) return;
      sent.write(`${JSON.stringify(one)}\n`);
    }
  } catch {
    sent.destroy();
  }
}

/** The response, or the fault it carries. */
async function answerTo(
  sent: ClientRequest,
  signal: AbortSignal | undefined,
  why: AuthClientOptions["why"],
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  sent.once("response", resolve);
  sent.once("error", (err) => reject(signal?.aborted ? (signal.reason as Error) : lost(err)));
  const answer = await promise.catch(async (err: Error) => {
    const said = signal?.aborted ? undefined : await why?.();
    throw said ? new Fault("unreachable", said, { cause: err, details: noAnswer }) : err;
  });
  if (answer.statusCode === 200) return answer;
  throw await faultOf(await wholeAnswer(answer));
}

async function faultOf(body: unknown): Promise<Fault> {
  const { readFault } = await import("#contract/fault");
  return readFault(body);
}

async function wholeAnswer(answer: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > answerLimit) throw new Fault("protocol", "the auth server's answer is too large");
      parts.push(part);
    }
  } catch (err) {
    throw err instanceof Fault ? err : lost(err);
  }
  const whole = Buffer.concat(parts);
  const text = (answer.headers["content-encoding"] === packing ? await unpacked(whole) : whole).toString();
  return text === "" ? undefined : parseJson(text);
}

/** Nobody may fill our memory with a few bytes. */
async function unpacked(bytes: Uint8Array): Promise<Buffer> {
  try {
    return await promisify(zstdDecompress)(bytes, { maxOutputLength: answerLimit });
  } catch (cause) {
    const what = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? "too large" : "damaged";
    throw new Fault("protocol", `the auth server's answer is ${what}`, { cause });
  }
}

async function* lines(answer: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let held: Buffer[] = [];
  for await (let part of answer) {
    for (let end = part.indexOf(10); end >= 0; end = part.indexOf(10)) {
      yield Buffer.concat([...held, part.subarray(0, end)]).toString();
      held = [];
      part = part.subarray(end + 1);
    }
    if (part.length > 0) held.push(part);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("protocol", "the auth server gave an answer that is not JSON", { cause });
  }
}

const times: Readonly<Record<string, string>> = {
  CERT_NOT_YET_VALID: "is not valid yet",
  CERT_HAS_EXPIRED: "has expired",
};

function lost(err: unknown): Fault {
  if (err instanceof Fault) return err;
  const cause = err as Error;
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const untimely = times[code];
  if (untimely !== undefined) {
    return new Fault(
      "access_denied",
      `the auth server's certificate ${untimely} by this machine's clock; compare \`date -u\` here and there`,
      { cause },
    );
  }
  if (
    code.startsWith("CERT_") ||
    code.startsWith("ERR_TLS_CERT") ||
    code.includes("SIGNATURE") ||
    code.includes("ISSUER")
  ) {
    return new Fault(
      "access_denied",
      `the auth server's certificate is not of this cluster (${cause.message}); was the cluster made anew, or its CA rotated while this machine was away? then join or log in again`,
      { cause },
    );
  }
  if (/alert (certificate|bad certificate|unknown ca)/i.test(cause.message)) {
    return new Fault(
      "access_denied",
      "the auth server does not accept our certificate: it is expired or of another cluster",
      {
        cause,
      },
    );
  }
  const why = code === "EPROTO" ? "what answers at its address does not speak TLS" : plain(cause);
  return new Fault("unreachable", `lost the connection to the auth server: ${why}`, {
    cause,
    details: noAnswer,
  });
}

/** Marks a fault that is not auth's answer but the lack of one: see `isAway`. */
const noAnswer = { auth: "away" };

function away(err: Error): Error {
  if (!Fault.is(err, "unreachable")) return err;
  return new Fault("unreachable", `the auth server cannot be reached: ${err.message}`, {
    cause: err,
    details: noAnswer,
  });
}

/** Whether a call failed since auth could not be reached, or did not answer. */
export const isAway = (err: unknown): boolean =>
  Fault.is(err, "unreachable") && err.details.auth === noAnswer.auth;
