import type { Random } from "./random.ts";

/** What a careless parser trips over. */
const lengths = [0, 1, 2, 4, 0x7f, 0xff, 0xffff, 0x8000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffb, 0xffff_ffff];
const words = [
  ...["ssh-ed25519", "ssh-rsa", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-ed25519-cert-v01@openssh.com"],
  ...["publickey", "none", "ssh-userauth", "ssh-connection", "session", "direct-tcpip", "exec", "env"],
  ...["pty-req", "keepalive@openssh.com", "server-sig-algs", "ext-info-c", "kex-strict-c-v00@openssh.com"],
  ...["SSH-2.0-", "\r\n", "\0", "\xff\xff\xff\xff", "../", "C0644 5 a\n", "D0755 0 d\n", "E\n", "T1 0 1 0\n"],
].map((word) => Buffer.from(word, "latin1"));
const maxLength = 16_384;

/** An input with one to eight things done to it; `other` is another input to cross it with. */
export function mutate(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 << random.below(4); left > 0; left--) bytes = changed(bytes, other, random);
  return bytes.subarray(0, maxLength);
}

function changed(bytes: Buffer, other: Uint8Array, random: Random): Buffer {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.below(32));
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (random.below(10)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = random.below(256);
      return bytes;
    case 2:
      // Lengths are all about here: one that is nearly right goes further than one that is wild.
      if (at + 4 <= bytes.length)
        bytes.writeUInt32BE((bytes.readUInt32BE(at) + random.below(9) - 4) >>> 0, at);
      return bytes;
    case 3:
      if (at + 4 <= bytes.length) bytes.writeUInt32BE(random.of(lengths), at);
      return bytes;
    case 4:
      return Buffer.from(before);
    case 5:
      return Buffer.concat([before, bytes.subarray(end)]);
    case 6:
      return Buffer.concat([before, random.of(words), after]);
    case 7:
      return Buffer.concat([before, bytes.subarray(at, end), after]);
    case 8:
      return Buffer.concat([before, Uint8Array.of(random.below(256)), after]);
    default: {
      const from = random.below(other.length + 1);
      return Buffer.concat([before, other.subarray(from, from + 1 + random.below(64)), after]);
    }
  }
}
