import { request as plainRequest, type RequestOptions } from "node:http";
import { request } from "node:https";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import { type DialOut, trustedAuthorities } from "#net";

/** A request to an identity provider, or to another cluster. What comes back is all there: nothing of it is still on its way. */
export type Outgoing = (url: string, options?: OutgoingOptions) => Promise<Response>;

interface OutgoingOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

const patience: Millis = 20 * second;
const largest = 1024 * 1024; // bytes of an answer

/**
 * Requests over HTTPS only, to a certificate that this machine trusts; redirects are not followed, so that a secret goes only where
 * it was meant to; an answer has 20 s and 1 MiB. `dial` makes the connections, one a request. `clear`: origins of this machine that may be asked
 * without TLS. `anyCertificate`: they are not verified. Throws `unreachable`, in words for an administrator: people who log in are told less.
 */
export function outgoing(
  { clock, dial }: { readonly clock: Clock; readonly dial: DialOut },
  { clear = [], anyCertificate = false }: { clear?: readonly string[]; anyCertificate?: boolean } = {},
): Outgoing {
  return async (text, { method = "GET", headers = {}, body, signal } = {}) => {
    const url = new URL(text);
    const isClear = url.protocol === "http:" && clear.includes(url.origin) && isLoopback(url.hostname);
    if (url.protocol !== "https:" && !isClear)
      throw new Fault(
        "unreachable",
        `${url.origin} is not asked: identity providers must be reached by https://`,
      );
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const over = new AbortController();
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const connect = async (): Promise<Duplex> =>
      connectTls({
        socket: await dial({ host, port: Number(url.port || 443) }, over.signal),
        host,
        ...(isIP(host) === 0 && { servername: host }),
        ca: trustedAuthorities(),
        rejectUnauthorized: !anyCertificate,
        ALPNProtocols: ["http/1.1"],
      });
    const sent = isClear
      ? plainRequest(url, { method, headers })
      : request(url, { method, headers, createConnection: later(connect) });
    const fail = (why: string): void => {
      reject(new Fault("unreachable", `${url.origin} ${why}`));
      sent.destroy();
    };
    const giveUp = (): void => fail("is not waited for any more");
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) giveUp();
    clock.sleep(patience, over.signal, { background: true }).then(
      () => fail(`did not answer within ${patience / second} s`),
      () => {}, // in time
    );
    sent.once("response", (response) => {
      const parts: Uint8Array[] = [];
      let size = 0;
      response.on("data", (part: Uint8Array) => {
        size += part.length;
        if (size > largest) fail(`answers with more than ${largest} bytes`);
        else parts.push(part);
      });
      response.once("error", reject);
      response.once("end", () => {
        const { statusCode: status = 0, headers: got } = response;
        const isWhole = status >= 200 && status <= 599;
        if (!isWhole) return fail(`answers with status ${status}`);
        const bare = [204, 205, 304].includes(status);
        resolve(new Response(bare ? null : Buffer.concat(parts), { status, headers: single(got) }));
      });
    });
    // A connection that is given up, and one that failed since: each says so.
    sent.on("error", (cause) => {
      // Node goes on with advice about flags of its own, which nobody here can give it.
      const why = cause.message.replace(/; if the root CA .*$/s, "");
      reject(new Fault("unreachable", `${url.origin} cannot be reached: ${why}`, { cause }));
    });
    sent.end(body);
    try {
      return await promise;
    } finally {
      over.abort();
      signal?.removeEventListener("abort", giveUp);
    }
  };
}

/** A connection that is there some time, as requests take it. */
const later =
  (connect: () => Promise<Duplex>): NonNullable<RequestOptions["createConnection"]> =>
  (_options, done) => {
    connect().then(
      (stream) => done(null, stream),
      (err: Error) => done(err, undefined as never),
    );
    return undefined;
  };

const single = (headers: NodeJS.Dict<string | string[]>): [string, string][] =>
  Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(", ") : (value ?? ""),
  ]);

export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);

/** The JSON of a good answer. Throws `unreachable` for another status, and for what is no JSON. */
export async function jsonOf(response: Response, what: string): Promise<unknown> {
  const text = await response.text();
  if (response.status !== 200)
    throw new Fault("unreachable", `${what} was answered with status ${response.status}`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("unreachable", `${what} was answered with something that is no JSON`, { cause });
  }
}
