import type { Socket } from "node:net";
import { Fault } from "#core/errors";
import type { Secret } from "#core/secret";
import { type Address, formatAddress } from "./address.ts";
import { plain } from "./dial.ts";

/** Of a proxy's answer, without what follows it. */
const longestHeader = 16 * 1024; // bytes
const longestLine = 200; // characters of it that are shown
const protocolWord = "HTTP/";

/** Reads a proxy's answer to CONNECT (RFC 9110 §9.3.6), however it is cut. */
export class ConnectReply {
  #held: Buffer = Buffer.alloc(0);

  /**
   * Undefined while the header is not whole; then what it says, and the bytes behind it, which are the target's. Not to be
   * called after that. Throws `protocol` for what is no answer of an HTTP proxy, or has more than 16 KiB.
   */
  take(
    chunk: Uint8Array,
  ): { readonly status: number; readonly line: string; readonly rest: Buffer } | undefined {
    this.#held = Buffer.concat([this.#held, chunk]);
    const held = this.#held;
    const known = held.toString("latin1", 0, protocolWord.length);
    if (!protocolWord.startsWith(known)) throw notHttp();
    const end = endOf(held);
    if ((end ?? held.length) > longestHeader)
      throw new Fault("protocol", "the proxy's answer has a header without end");
    if (end === undefined) return undefined;
    const [first = ""] = held.toString("latin1", 0, end).split("\n", 1);
    const status = /^HTTP\/\d\.\d (\d{3})(?!\d)/.exec(first)?.[1];
    if (status === undefined) throw notHttp();
    return { status: Number(status), line: shown(first), rest: held.subarray(end) };
  }
}

const notHttp = (): Fault =>
  new Fault(
    "protocol",
    "the proxy does not answer like one of HTTP; check its address and http:// or https://",
  );

/** Where the header ends. A line may end in LF alone (RFC 9112 §2.2). */
function endOf(bytes: Buffer): number | undefined {
  const ends = ["\n\r\n", "\n\n"].flatMap((blank) => {
    const at = bytes.indexOf(blank);
    return at < 0 ? [] : [at + blank.length];
  });
  return ends.length === 0 ? undefined : Math.min(...ends);
}

const shown = (line: string): string =>
  line
    .replace(/\r$/, "")
    .replace(/[^\x20-\x7e]/g, " ")
    .slice(0, longestLine)
    .trimEnd();

/**
 * Asks the proxy at the other end of `socket` for a connection to `target`; after that the socket is this connection. Else it is
 * destroyed: throws `unreachable` with the proxy's status line (CON-05), `protocol` as `ConnectReply`, or the signal's reason.
 */
export function askProxy(
  socket: Socket,
  target: Address,
  authorization: Secret | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const reply = new ConnectReply();
  const done = (): void => {
    socket.off("readable", read).off("end", onEnd).off("error", onError);
    signal.removeEventListener("abort", onAbort);
  };
  const fail = (err: Error): void => {
    done();
    socket.on("error", () => {});
    socket.destroy();
    reject(err);
  };
  const onEnd = (): void => fail(new Fault("unreachable", "the proxy hung up without an answer"));
  const onError = (cause: Error): void =>
    fail(new Fault("unreachable", `the proxy went away: ${plain(cause)}`, { cause }));
  const onAbort = (): void => fail(signal.reason as Error);
  const read = (): void => {
    let got: ReturnType<ConnectReply["take"]>;
    try {
      // What comes in later chunks stays where it is.
      while (!got) {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) return;
        got = reply.take(chunk);
      }
    } catch (err) {
      fail(err as Error);
      return;
    }
    if (got.status !== 200) {
      fail(new Fault("unreachable", `unable to proxy connection: ${got.line}`));
      return;
    }
    done();
    if (got.rest.length > 0) socket.unshift(got.rest);
    resolve();
  };
  if (signal.aborted) onAbort();
  else {
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("readable", read).on("end", onEnd).on("error", onError);
    socket.write(requestFor(target, authorization));
  }
  return promise;
}

function requestFor(target: Address, authorization: Secret | undefined): string {
  const where = formatAddress(target);
  const allowed = authorization ? `Proxy-Authorization: ${authorization.reveal()}\r\n` : "";
  return `CONNECT ${where} HTTP/1.1\r\nHost: ${where}\r\n${allowed}\r\n`;
}
