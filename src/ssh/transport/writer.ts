import type { Duplex } from "node:stream";
import { Fault } from "#core/errors";
import { clearSealer, type Sealer } from "../crypto/cipher/cipher.ts";
import { maxPacketLength } from "./reader.ts";
import { giveBack, slabSize, takeSlab } from "./slab.ts";

/** Written at once when this much has come together. */
const flushAt = 128 * 1024;
/** Length and padding fields, the most padding there is, and the longest tag. */
const maxOverhead = 4 + 1 + 255 + 64;
const maxPayload = maxPacketLength - maxOverhead;
/** A batch of up to this is copied for a stream that keeps it, so that a connection on which little happens holds no slab. */
const copyUpTo = 16 * 1024;

/**
 * Puts packets together, encrypted, in a slab, and writes all that came together in one turn of the event loop with one
 * call. While the stream is busy with one such batch the next one grows, so a slow peer holds bytes, not small writes.
 */
export class PacketWriter {
  /** Of the next packet; 0 to 2^32-1, then 0 again. */
  sequence = 0;
  /** Sealed under the present key. */
  packets = 0;
  bytes = 0;

  readonly #stream: Duplex;
  readonly #onTaken: () => void;
  /** A socket is done with a buffer when it calls back; another stream may have handed it on by reference. */
  readonly #reuse: boolean;
  #sealer: Sealer = clearSealer;
  #slab: Buffer | undefined;
  /** Whether the stream has been handed a part of the slab for good. */
  #lent = false;
  #start = 0;
  #end = 0;
  #inFlight = 0;
  #scheduled = false;

  /** `onTaken` is called whenever the stream has taken bytes, i.e. `pending` has fallen. */
  constructor(stream: Duplex, onTaken: () => void) {
    this.#stream = stream;
    this.#onTaken = onTaken;
    this.#reuse = "setNoDelay" in stream;
  }

  /** Bytes that the stream has not taken yet. */
  get pending(): number {
    return this.#end - this.#start + this.#inFlight;
  }

  /** Bytes outside any packet: the version line and what stands before it. At most a few hundred. */
  raw(bytes: Uint8Array): void {
    const slab = this.#room(bytes.length);
    slab.set(bytes, this.#end);
    this.#end += bytes.length;
    this.#schedule();
  }

  /** One packet with the payload `head`, then `data`. Both are copied before this returns. */
  packet(head: Uint8Array, data?: Uint8Array): void {
    const payload = head.length + (data === undefined ? 0 : data.length);
    if (payload > maxPayload)
      throw new Fault("internal", `a message of ${payload} bytes does not fit into a packet`);
    const { blockSize, clear, tagLength } = this.#sealer;
    const slab = this.#room(payload + maxOverhead);
    const at = this.#end;
    let padding = blockSize - ((5 - clear + payload) % blockSize);
    if (padding < 4) padding += blockSize;
    const length = 1 + payload + padding;
    slab.writeUInt32BE(length, at);
    slab[at + 4] = padding;
    slab.set(head, at + 5);
    if (data !== undefined) slab.set(data, at + 5 + head.length);
    // Zeros do: nobody sees padding but through the cipher.
    for (let i = at + 5 + payload, end = i + padding; i < end; i++) slab[i] = 0;
    this.#sealer.seal(slab, at, length, this.sequence);
    const size = 4 + length + tagLength;
    this.#end += size;
    this.bytes += size;
    this.sequence = (this.sequence + 1) >>> 0;
    this.packets++;
    if (this.#end - this.#start >= flushAt) this.flush();
    else this.#schedule();
  }

  /** What follows is sent under another key. */
  switch(sealer: Sealer, restartSequence: boolean): void {
    this.#sealer = sealer;
    this.packets = 0;
    this.bytes = 0;
    if (restartSequence) this.sequence = 0;
  }

  /** Hands everything to the stream now. */
  flush(): void {
    const slab = this.#slab;
    const size = this.#end - this.#start;
    if (slab === undefined || size === 0 || !this.#stream.writable) return;
    let batch = slab.subarray(this.#start, this.#end);
    this.#start = this.#end;
    if (this.#reuse) this.#drop();
    else if (this.#lent || size > copyUpTo) this.#lent = true;
    else {
      batch = Buffer.from(batch);
      giveBack(slab);
      this.#drop();
    }
    this.#inFlight += size;
    this.#stream.write(batch, () => {
      this.#inFlight -= size;
      if (this.#reuse) giveBack(slab);
      if (this.#inFlight === 0) this.flush();
      this.#onTaken();
    });
  }

  /** The slab, with room for `size` more bytes. */
  #room(size: number): Buffer {
    if (this.#end + size > slabSize) {
      this.flush();
      this.#drop();
    }
    this.#slab ??= takeSlab();
    return this.#slab;
  }

  #drop(): void {
    this.#slab = undefined;
    this.#lent = false;
    this.#start = 0;
    this.#end = 0;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#scheduled = false;
    // Otherwise the batch under way will come back for this one.
    if (this.#inFlight === 0) this.flush();
  };
}
