import type { Duplex } from "node:stream";
import { Fault } from "#core/errors";
import type { Address } from "./address.ts";

/** What the bytes of a SOCKS client have come to. */
export interface SocksStep {
  /** To be written to the client, possibly nothing. */
  readonly reply: Uint8Array;
  /** Where the client wants to be connected; then `answer` is due, and `rest` is already data. */
  readonly target?: Address & { readonly rest: Uint8Array };
  /** Why it gets nothing: the stream is to be closed after the reply. */
  readonly refusal?: string;
}

/** No request of an honest client is longer, in bytes. */
const maxRequest = 1024;
const none = new Uint8Array(0);

/**
 * The server's side of a SOCKS conversation up to the connection: SOCKS 4 and 4a, SOCKS 5 (RFC 1928) without
 * authentication, in each CONNECT only. Opens nothing itself.
 */
export class SocksServer {
  #bytes: Uint8Array = none;
  #state: "version" | "request" | "over" = "version";
  #version = 0;

  /** Takes what came. Once it has answered with a target or a refusal it must not be called again. */
  take(chunk: Uint8Array): SocksStep {
    if (this.#state === "over") throw new Fault("internal", "a SOCKS request was read already");
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const first = this.#bytes[0];
    if (this.#state === "version" && first === 5) return this.#greeting();
    if (this.#state === "request") return this.#request5(none);
    if (first === undefined) return { reply: none };
    if (first === 4) return this.#request4();
    return this.#refuse(none, `${first === 67 || first === 71 ? "an HTTP" : "no SOCKS"} client`);
  }

  /** What tells the client whether the connection to its target stands. */
  answer(connected: boolean): Uint8Array {
    return this.#version === 4 ? reply4(connected) : reply5(connected ? 0 : 5);
  }

  /** RFC 1928 §3: version, number of methods, methods. */
  #greeting(): SocksStep {
    this.#version = 5;
    const count = this.#bytes[1];
    if (count === undefined || this.#bytes.length < 2 + count) return { reply: none };
    const methods = this.#bytes.subarray(2, 2 + count);
    if (!methods.includes(0)) return this.#refuse(Uint8Array.of(5, 0xff), "it insists on a password");
    this.#bytes = this.#bytes.subarray(2 + count);
    this.#state = "request";
    return this.#request5(Uint8Array.of(5, 0));
  }

  /** RFC 1928 §4: version, command, 0, kind of address, address, port. `before` is what is still to be said. */
  #request5(before: Uint8Array): SocksStep {
    const [version, command, , kind, length = 0] = this.#bytes;
    if (kind === undefined) return { reply: before };
    const refuse = (code: number, why: string): SocksStep =>
      this.#refuse(Buffer.concat([before, reply5(code)]), why);
    if (version !== 5) return refuse(1, "it changed its version");
    if (command !== 1) return refuse(7, "only CONNECT is served");
    const end = { 1: 8, 3: 5 + length, 4: 20 }[kind];
    if (end === undefined) return refuse(8, "this kind of address is not served");
    if (this.#bytes.length < end + 2) return { reply: before };
    const address = this.#bytes.subarray(kind === 3 ? 5 : 4, end);
    const host = kind === 1 ? ip4(address) : kind === 4 ? ip6(address) : nameOf(address);
    if (host === undefined) return refuse(1, "its host has no name that could be one");
    return this.#connect(before, host, port(this.#bytes, end), end + 2);
  }

  /** Version, command, port, address, user id, 0; in 4a an address 0.0.0.x, and the host's name and 0 behind it all. */
  #request4(): SocksStep {
    this.#version = 4;
    const bytes = this.#bytes;
    const user = bytes.indexOf(0, 8);
    const isName = bytes.length >= 8 && ip4(bytes.subarray(4, 8)).startsWith("0.0.0.") && bytes[7] !== 0;
    const end = user >= 0 && isName ? bytes.indexOf(0, user + 1) : user;
    if (bytes.length < 9 || user < 0 || end < 0) {
      return bytes.length > maxRequest
        ? this.#refuse(reply4(false), "its request is too long")
        : { reply: none };
    }
    if (bytes[1] !== 1) return this.#refuse(reply4(false), "only CONNECT is served");
    const host = isName ? nameOf(bytes.subarray(user + 1, end)) : ip4(bytes.subarray(4, 8));
    if (host === undefined) return this.#refuse(reply4(false), "its host has no name that could be one");
    return this.#connect(none, host, port(bytes, 2), end + 1);
  }

  #connect(reply: Uint8Array, host: string, to: number, end: number): SocksStep {
    this.#state = "over";
    return { reply, target: { host, port: to, rest: this.#bytes.subarray(end) } };
  }

  #refuse(reply: Uint8Array, refusal: string): SocksStep {
    this.#state = "over";
    return { reply, refusal };
  }
}

/** A client that wants to be connected; `answer` tells it whether it is, after which the stream is its connection. */
export interface SocksRequest extends Address {
  answer(connected: boolean): void;
}

/** Hears a client out on a stream. Throws `protocol` when there is nothing to be done for it; the stream is ended then. */
export function readSocks(stream: Duplex): Promise<SocksRequest> {
  const { promise, resolve, reject } = Promise.withResolvers<SocksRequest>();
  const server = new SocksServer();
  const done = (): void => {
    stream.off("readable", read).off("end", gone).off("close", gone).off("error", gone);
  };
  const fail = (why: string): void => {
    done();
    reject(new Fault("protocol", why));
  };
  const gone = (): void => {
    stream.destroy();
    fail("it went away before it said where to");
  };
  const read = (): void => {
    for (let chunk = stream.read() as Buffer | null; chunk !== null; chunk = stream.read() as Buffer | null) {
      const { reply, target, refusal } = server.take(chunk);
      if (reply.length > 0) stream.write(reply);
      if (refusal !== undefined) {
        stream.end(() => stream.destroy());
        fail(refusal);
        return;
      }
      if (!target) continue;
      done();
      if (target.rest.length > 0) stream.unshift(target.rest);
      const { host, port: to } = target;
      resolve({ host, port: to, answer: (connected) => void stream.write(server.answer(connected)) });
      return;
    }
  };
  stream.on("readable", read).on("end", gone).on("close", gone).on("error", gone);
  return promise;
}

/** RFC 1928 §6, with no address: it is not known here. */
const reply5 = (code: number): Uint8Array => Uint8Array.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0);
const reply4 = (granted: boolean): Uint8Array => Uint8Array.of(0, granted ? 90 : 91, 0, 0, 0, 0, 0, 0);

const port = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const ip4 = (bytes: Uint8Array): string => [...bytes].join(".");
const ip6 = (bytes: Uint8Array): string =>
  Array.from({ length: 8 }, (_, i) => port(bytes, 2 * i).toString(16)).join(":");

/** What a host may be called: it is shown to people and looked up by others. */
function nameOf(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString("latin1");
  return /^[A-Za-z0-9_.:-]{1,255}$/.test(text) ? text : undefined;
}
