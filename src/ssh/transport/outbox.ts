import type { Duplex } from "node:stream";
import type { Sealer } from "../crypto/cipher/cipher.ts";
import { PacketWriter } from "./writer.ts";

/** `send` says false above this; `drain` resolves below half of it. Bytes. */
const highWater = 256 * 1024;
/** More than this unsent is a peer that makes us write and does not read, or a caller deaf to `send`'s false. */
const maxBuffered = 32 * 1024 * 1024;
/** Answers (PONG, UNIMPLEMENTED) that may wait for a peer that does not read. */
const maxUnreadAnswers = 1000;

/** All that is on its way out: packets in the writer, and payloads held back until a key exchange is over. */
export class Outbox {
  readonly writer: PacketWriter;
  #holding = false;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #drained: PromiseWithResolvers<void> | undefined;
  #unreadAnswers = 0;
  #closed = false;

  constructor(stream: Duplex) {
    this.writer = new PacketWriter(stream, this.#onTaken);
  }

  get buffered(): number {
    return this.#closed ? 0 : this.writer.pending + this.#heldBytes;
  }
  get isFull(): boolean {
    return this.buffered >= highWater;
  }
  get overflows(): boolean {
    return this.buffered > maxBuffered;
  }

  /** Sends, or keeps a copy while a key exchange goes on (RFC 4253 §7.1). */
  send(head: Uint8Array, data?: Uint8Array): void {
    if (!this.#holding) {
      this.writer.packet(head, data);
      return;
    }
    const payload = new Uint8Array(head.length + (data === undefined ? 0 : data.length));
    payload.set(head);
    if (data !== undefined) payload.set(data, head.length);
    this.#held.push(payload);
    this.#heldBytes += payload.length;
  }

  /** Counts an answer that the peer can provoke at will. False when it has too many waiting that it does not read. */
  mayAnswer(): boolean {
    return ++this.#unreadAnswers <= maxUnreadAnswers;
  }

  hold(): void {
    this.#holding = true;
  }

  /** Goes on under new keys: `first`, then what was held back. */
  release(sealer: Sealer, restartSequence: boolean, first: Uint8Array | undefined): void {
    this.writer.switch(sealer, restartSequence);
    if (first !== undefined) this.writer.packet(first);
    this.#holding = false;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const payload of held) this.writer.packet(payload);
  }

  drain(): Promise<void> {
    if (this.#closed || !this.isFull) return Promise.resolve();
    this.#drained ??= Promise.withResolvers();
    return this.#drained.promise;
  }

  /** Nothing goes out any more, and nobody waits for it. */
  close(): void {
    this.#closed = true;
    this.#held = [];
    this.#heldBytes = 0;
    this.#drained?.resolve();
  }

  readonly #onTaken = (): void => {
    if (this.buffered >= highWater / 2) return;
    this.#unreadAnswers = 0;
    this.#drained?.resolve();
    this.#drained = undefined;
  };
}
