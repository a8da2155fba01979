import { Fault } from "#core/errors";
import { clearOpener, type Opener } from "../crypto/cipher/cipher.ts";

/** Longest `packet_length` before authentication, when nobody needs more (RFC 4253 §6.1). */
const maxBeforeAuth = 35_000;
/** And after it. */
export const maxPacketLength = 256 * 1024;
/** A buffer for joining up to this size is kept for the next packet. */
const maxKept = 64 * 1024;
const none = Buffer.alloc(0);

/**
 * Cuts a byte stream into packets. Hot path: a packet that lies within one chunk is opened where it lies; only one that
 * straddles chunks is joined, once, in a buffer that grows with what arrived and never by what a length field says.
 */
export class PacketReader {
  /** Of the next packet; 0 to 2^32-1, then 0 again. */
  sequence = 0;
  /** Opened under the present key. */
  packets = 0;
  bytes = 0;

  #opener: Opener = clearOpener;
  #limit = maxBeforeAuth;
  #chunks: Buffer[] = [];
  /** Where in the first chunk the next packet, or the rest of the one in `#joined`, begins. */
  #at = 0;
  #joined = none;
  #filled = 0;
  /** Of a packet before. A cipher's plain text is a copy, so nobody has it any more. */
  #spare = none;
  /** Length of the packet at the front with length field and tag; 0 when not known yet. */
  #size = 0;

  push(chunk: Buffer): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
  }

  /** The next payload, which is the caller's, or undefined when it has not all arrived. Throws `protocol` faults. */
  next(): Uint8Array | undefined {
    if (this.#size === 0) {
      const head = this.#gather(this.#opener.headLength);
      if (head === undefined) return undefined;
      this.#size = this.#checkedSize(this.#opener.packetLength(head, this.sequence));
    }
    const packet = this.#gather(this.#size);
    if (packet === undefined) return undefined;
    const plain = this.#opener.open(packet, this.sequence);
    this.#consume(this.#size);
    this.bytes += this.#size;
    this.#size = 0;
    this.sequence = (this.sequence + 1) >>> 0;
    this.packets++;
    const padding = plain[0] as number;
    const end = plain.length - padding;
    if (padding < 4 || end < 2)
      throw new Fault("protocol", "a packet is all padding, or has too little of it");
    return new Uint8Array(plain.buffer, plain.byteOffset + 1, end - 1);
  }

  /** What follows comes under another key. */
  switch(opener: Opener, restartSequence: boolean): void {
    this.#opener = opener;
    this.packets = 0;
    this.bytes = 0;
    if (restartSequence) this.sequence = 0;
  }

  allowLargePackets(): void {
    this.#limit = maxPacketLength;
  }

  #checkedSize(length: number): number {
    const { clear, blockSize, tagLength } = this.#opener;
    if (length > this.#limit || length < 8 || (length + 4 - clear) % blockSize !== 0)
      throw new Fault("protocol", `a packet says it is ${length} bytes long`);
    return 4 + length + tagLength;
  }

  /** The first `want` bytes of the packet at the front, left in place; undefined when they have not all arrived. */
  #gather(want: number): Buffer | undefined {
    if (this.#filled === 0) {
      const first = this.#chunks[0];
      if (first === undefined) return undefined;
      if (first.length - this.#at >= want) return first.subarray(this.#at, this.#at + want);
    }
    while (this.#filled < want) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) return undefined;
      const taken = Math.min(want - this.#filled, chunk.length - this.#at);
      this.#room(this.#filled + taken, want);
      this.#joined.set(chunk.subarray(this.#at, this.#at + taken), this.#filled);
      this.#filled += taken;
      this.#advance(taken);
    }
    return this.#joined.subarray(0, want);
  }

  #room(needed: number, want: number): void {
    if (needed <= this.#joined.length) return;
    if (this.#filled === 0 && needed <= this.#spare.length) {
      this.#joined = this.#spare;
      return;
    }
    const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * needed, want)));
    grown.set(this.#joined.subarray(0, this.#filled));
    this.#joined = grown;
  }

  #consume(size: number): void {
    if (this.#filled === 0) this.#advance(size);
    else if (this.#opener !== clearOpener && this.#joined.length <= maxKept) this.#spare = this.#joined;
    this.#joined = none;
    this.#filled = 0;
  }

  #advance(by: number): void {
    this.#at += by;
    if (this.#at === (this.#chunks[0] as Buffer).length) {
      this.#chunks.shift();
      this.#at = 0;
    }
  }
}
