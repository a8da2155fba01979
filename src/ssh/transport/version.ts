import { Fault } from "#core/errors";
import { type Brought, maxBrought, prefix, readBrought } from "../brought/line.ts";
import type { Role } from "../crypto/negotiate.ts";

/** RFC 4253 §4.2, CR LF counted. */
const maxVersionLine = 255;
/** What a server may say before its version line: lines of at most 1 KiB, as few as any real one needs. */
const maxGreetingLines = 64;
const maxGreetingLine = 1024;

/** A line of HAProxy's PROXY protocol, version 1: a load balancer tells whose connection it brings. CR LF counted. */
const proxyLine = "PROXY ";
const maxProxyLine = 107;

export interface RemoteVersion {
  /** Without CR LF, e.g. `SSH-2.0-OpenSSH_9.2p1`. */
  readonly version: string;
  /** What a proxy said before the line. */
  readonly brought: Brought | undefined;
  /** What came behind the line. */
  readonly rest: Buffer;
}

/** Reads the peer's side of the version exchange from chunks of any size, holding only a bounded, unfinished line. */
export class VersionReader {
  readonly #peer: Role;
  #held: Buffer = Buffer.alloc(0);
  #greetingLines = 0;
  #brought: Brought | undefined;
  #onProxyLine: ((line: string) => void) | undefined;

  /** With `onProxyLine` one PROXY line may come before all else: it is handed over with its CR LF, and refused by a throw. */
  constructor(peer: Role, onProxyLine?: (line: string) => void) {
    this.#peer = peer;
    this.#onProxyLine = onProxyLine;
  }

  /** The version once its line is complete. Throws a `protocol` fault for what is no SSH-2 peer. */
  push(chunk: Buffer): RemoteVersion | undefined {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    if (this.#peer === "client" && !(this.#takeProxyLine() && this.#takeProxyPrefix())) return undefined;
    while (true) {
      const end = this.#held.indexOf(10);
      const isVersion = startsLike(this.#held, "SSH-");
      if (!isVersion && this.#peer === "client")
        throw new Fault("protocol", "the other side does not speak SSH");
      const limit = isVersion ? maxVersionLine : maxGreetingLine;
      if (end >= limit || (end < 0 && this.#held.length >= limit))
        throw new Fault("protocol", `the other side began with a line of more than ${limit} bytes`);
      if (end < 0) {
        this.#held = Buffer.from(this.#held); // do not keep the stream's chunk alive for a few bytes
        return undefined;
      }
      const line = this.#held.toString("latin1", 0, this.#held[end - 1] === 13 ? end - 1 : end);
      const rest = this.#held.subarray(end + 1);
      if (isVersion) return { version: checked(line), brought: this.#brought, rest };
      if (++this.#greetingLines > maxGreetingLines)
        throw new Fault("protocol", `the other side wrote ${maxGreetingLines} lines and no SSH version`);
      this.#held = rest;
      if (rest.length === 0) return undefined;
    }
  }

  /** False while the line has begun and has not ended. */
  #takeProxyLine(): boolean {
    if (!this.#onProxyLine || !startsLike(this.#held, proxyLine)) return true;
    const end = this.#held.indexOf("\r\n") + 2;
    if (end > maxProxyLine || (end < 2 && this.#held.length >= maxProxyLine))
      throw new Fault("protocol", "the line of the PROXY protocol is too long");
    if (end < 2) return false;
    this.#onProxyLine(this.#held.toString("latin1", 0, end));
    this.#onProxyLine = undefined;
    this.#held = this.#held.subarray(end);
    return this.#held.length > 0;
  }

  /** False while the prefix has begun and has not ended. */
  #takeProxyPrefix(): boolean {
    if (this.#brought !== undefined || !startsLike(this.#held, prefix)) return true;
    if (this.#held.length < prefix.length) return false;
    const end = this.#held.indexOf(0);
    if (end > maxBrought || (end < 0 && this.#held.length > maxBrought))
      throw new Fault("protocol", "the proxy's word about the client's address is too long");
    if (end < 0) return false;
    this.#brought = readBrought(this.#held.toString("utf8", prefix.length, end));
    this.#held = this.#held.subarray(end + 1);
    return this.#held.length > 0;
  }
}

/** Whether `held` begins with `word`, or with as much of it as is there. */
const startsLike = (held: Buffer, word: string): boolean => {
  const known = held.toString("latin1", 0, word.length);
  return word.startsWith(known);
};

function checked(line: string): string {
  if (!/^[\x20-\x7e]*$/.test(line))
    throw new Fault("protocol", "the other side's version line holds characters that are not printable");
  // A server that says 1.99 speaks both (RFC 4253 §5.1).
  if (!/^SSH-(2\.0|1\.99)-/.test(line))
    throw new Fault("protocol", `the other side speaks ${line.slice(0, 40)}, not SSH-2`);
  return line;
}
