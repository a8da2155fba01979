import type { Duplex } from "node:stream";
import { offer, withHostKeys } from "../crypto/algorithms.ts";
import { kexInit, type Role } from "../crypto/negotiate.ts";
import type { Algorithms } from "../server.ts";
import { exchangeKeys } from "../transport/exchange.ts";
import { PacketReader } from "../transport/reader.ts";
import { PacketWriter } from "../transport/writer.ts";
import { KexInit } from "../wire/transport.ts";
import { parseTestKey, testSigner } from "./test-key.ts";

const host = testSigner();
const version = "SSH-2.0-Raw";

/** A peer that says what a test tells it to, in any order, and looks at every packet that comes back. */
export class RawPeer {
  readonly stream: Duplex;
  readonly role: Role;
  readonly writer: PacketWriter;
  readonly reader = new PacketReader();
  remoteVersion = "";
  #sessionId: Uint8Array | undefined;
  #strict = false;
  #head: Buffer = Buffer.alloc(0);
  #wake = Promise.withResolvers<void>();
  #ended = false;

  constructor(stream: Duplex, role: Role) {
    this.stream = stream;
    this.role = role;
    this.writer = new PacketWriter(stream, () => {});
    stream.on("error", () => this.#end());
    stream.on("close", () => this.#end());
    stream.on("end", () => this.#end());
    stream.on("data", (chunk: Buffer) => {
      this.#take(chunk);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    });
  }

  /** Writes our version line and waits for the peer's. */
  async versions(): Promise<void> {
    this.stream.write(`${version}\r\n`);
    while (this.remoteVersion === "") await this.#more();
  }

  send(payload: Uint8Array): void {
    this.writer.packet(payload);
    this.writer.flush();
  }

  /** The next payload; throws when the stream ends before there is one. */
  async next(): Promise<Uint8Array> {
    while (true) {
      const payload = this.reader.next();
      if (payload !== undefined) return payload;
      await this.#more();
    }
  }

  /** Reads on until the message `id` comes. */
  async until(id: number): Promise<Uint8Array> {
    while (true) {
      const payload = await this.next();
      if (payload[0] === id) return payload;
    }
  }

  /** Our KEXINIT as an honest peer's, changed by `change`. */
  init(algorithms: Algorithms = {}, change: (init: KexInit) => KexInit = (same) => same): Uint8Array {
    const all = this.#offer(algorithms);
    return KexInit.encode(change(kexInit(this.role, all, new Uint8Array(16), this.#sessionId === undefined)));
  }

  /** A whole key exchange, as an honest peer does it; payloads are slipped in after KEXINIT or before NEWKEYS. */
  async exchange(
    options: {
      algorithms?: Algorithms;
      init?: Uint8Array;
      beforeNewKeys?: Uint8Array;
      afterInit?: Uint8Array;
    } = {},
  ): Promise<void> {
    const init = options.init ?? this.init(options.algorithms);
    this.send(init);
    if (options.afterInit) this.send(options.afterInit);
    const [clientVersion, serverVersion] =
      this.role === "client" ? [version, this.remoteVersion] : [this.remoteVersion, version];
    const first = this.#sessionId === undefined;
    const result = await exchangeKeys(
      {
        next: () => this.next(),
        send: (payload) => {
          if (payload[0] === 21 && options.beforeNewKeys) this.send(options.beforeNewKeys);
          this.send(payload);
        },
        agreed: ({ strict }) => {
          if (first) this.#strict = strict && Buffer.from(init).includes("kex-strict-");
        },
        sealWith: (sealer) => this.writer.switch(sealer, this.#strict),
        openWith: (opener) => this.reader.switch(opener, this.#strict),
      },
      {
        offer: this.#offer(options.algorithms ?? {}),
        party:
          this.role === "client"
            ? { role: "client", parseHostKey: parseTestKey, verifyHost() {} }
            : { role: "server", hostKeys: [host] },
        clientVersion,
        serverVersion,
        sessionId: this.#sessionId,
      },
      init,
    );
    this.#sessionId = result.sessionId;
  }

  #offer(algorithms: Algorithms): ReturnType<typeof offer> {
    const all = offer(algorithms);
    return this.role === "server" ? withHostKeys(all, [host]) : all;
  }

  #take(chunk: Buffer): void {
    if (this.remoteVersion !== "") {
      this.reader.push(chunk);
      return;
    }
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf("\r\n");
    if (end < 0) return;
    this.remoteVersion = this.#head.toString("latin1", 0, end);
    this.reader.push(this.#head.subarray(end + 2));
  }

  async #more(): Promise<void> {
    if (this.#ended) throw new Error("the stream has ended");
    await this.#wake.promise;
  }

  #end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }
}
