import { Fault } from "#core/errors";

/** Encrypts the packets of one direction under one key, in order (RFC 4253 §6). */
export interface Sealer {
  /** Padding makes the packet, less its first `clear` bytes, a multiple of this. */
  readonly blockSize: number;
  /** 4 when the length field stands outside the block cipher, else 0. */
  readonly clear: 0 | 4;
  readonly tagLength: number;
  /**
   * Encrypts in place the packet at `at`: 4 bytes of length, then `length` bytes. Writes `tagLength` bytes behind it;
   * there must be room.
   */
  seal(slab: Buffer, at: number, length: number, sequence: number): void;
}

/** Decrypts the packets of one direction under one key, in order. */
export interface Opener {
  readonly blockSize: number;
  readonly clear: 0 | 4;
  readonly tagLength: number;
  /** How many bytes of a packet must be there before `packetLength` can be asked. */
  readonly headLength: number;
  /** The packet's length field, not checked in any way. Asked once a packet, before `open`. */
  packetLength(head: Buffer, sequence: number): number;
  /**
   * Checks and decrypts a whole packet with its tag. Returns what follows the length field: padding length, payload,
   * padding; it is the caller's. Throws a `protocol` fault when it was tampered with.
   */
  open(packet: Buffer, sequence: number): Buffer;
}

/** What key derivation gives a direction (RFC 4253 §7.2). */
export interface PacketKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  readonly macKey: Uint8Array;
}

export interface Mac {
  readonly name: string;
  readonly hash: "sha256" | "sha512";
  /** Bytes of the key and of the tag. */
  readonly length: number;
  /** Encrypt, then MAC (OpenSSH PROTOCOL §1.5). */
  readonly etm: boolean;
}

export interface Cipher {
  readonly name: string;
  readonly keyLength: number;
  readonly ivLength: number;
  /** Authenticates by itself: no MAC is negotiated. */
  readonly aead: boolean;
  /** Bytes after which new keys must be agreed: RFC 4344 §3.2; for 8-byte blocks RFC 4253 §9. */
  readonly maxBytes: number;
  /** `mac` is given unless the cipher is an AEAD. */
  sealer(keys: PacketKeys, mac: Mac | undefined): Sealer;
  opener(keys: PacketKeys, mac: Mac | undefined): Opener;
}

export const tampered = (cause?: unknown): Fault =>
  new Fault("protocol", "a packet was changed on its way or encrypted with another key", { cause });

/** Before the first keys: neither encrypted nor authenticated. */
export const clearSealer: Sealer = { blockSize: 8, clear: 0, tagLength: 0, seal() {} };
export const clearOpener: Opener = {
  blockSize: 8,
  clear: 0,
  tagLength: 0,
  headLength: 4,
  packetLength: (head) => head.readUInt32BE(0),
  open: (packet) => Buffer.from(packet.subarray(4)),
};
