import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { ciphers, macs } from "../crypto/algorithms.ts";
import type { Cipher, Mac } from "../crypto/cipher/cipher.ts";
import { PacketReader } from "./reader.ts";
import { PacketWriter } from "./writer.ts";

const all: [string, Cipher, Mac | undefined][] = ciphers.flatMap((cipher) =>
  (cipher.aead ? [undefined] : macs).map((mac): [string, Cipher, Mac | undefined] => [
    mac ? `${cipher.name} with ${mac.name}` : cipher.name,
    cipher,
    mac,
  ]),
);
const keysOf = (cipher: Cipher, mac: Mac | undefined) => ({
  key: Buffer.alloc(cipher.keyLength, 1),
  iv: Buffer.alloc(cipher.ivLength, 0xff), // the counter wraps at once
  macKey: Buffer.alloc(mac?.length ?? 0, 3),
});

/** A stream that keeps what it is given, write by write, and calls back when told. */
function sink(): { stream: Duplex; writes: Buffer[]; taken: () => void } {
  const writes: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      writes.push(Buffer.from(chunk));
      waiting.push(done);
    },
  });
  return { stream, writes, taken: () => waiting.shift()?.() };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

suite("packets", () => {
  for (const [name, cipher, mac] of all) {
    test(`${name}: any payloads arrive whole, in any pieces`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.uint8Array({ minLength: 1, maxLength: 600 }), { minLength: 1, maxLength: 6 }),
          fc.integer({ min: 1, max: 700 }),
          (payloads, size) => {
            const { stream, writes } = sink();
            const writer = new PacketWriter(stream, () => {});
            const reader = new PacketReader();
            writer.switch(cipher.sealer(keysOf(cipher, mac), mac), true);
            reader.switch(cipher.opener(keysOf(cipher, mac), mac), true);
            for (const payload of payloads) writer.packet(payload.subarray(0, 3), payload.subarray(3));
            writer.flush();
            const bytes = writes[0] as Buffer;
            const got: Uint8Array[] = [];
            for (let at = 0; at < bytes.length; at += size) {
              reader.push(bytes.subarray(at, at + size));
              for (let p = reader.next(); p !== undefined; p = reader.next()) got.push(p);
            }
            assert.deepEqual(got, payloads);
            assert.equal(reader.bytes, writer.bytes);
          },
        ),
        { numRuns: 30 },
      );
    });

    test(`${name}: sequence numbers go on at 0 after 2^32-1 (RFC 4253 §6.4)`, () => {
      const { stream, writes } = sink();
      const writer = new PacketWriter(stream, () => {});
      const reader = new PacketReader();
      writer.switch(cipher.sealer(keysOf(cipher, mac), mac), true);
      reader.switch(cipher.opener(keysOf(cipher, mac), mac), true);
      writer.sequence = 0xffff_ffff;
      reader.sequence = 0xffff_ffff;
      for (let i = 0; i < 3; i++) writer.packet(Uint8Array.of(94, i));
      writer.flush();
      reader.push(writes[0] as Buffer);
      for (const sequence of [0, 1, 2]) {
        assert.deepEqual(reader.next(), Uint8Array.of(94, sequence));
        assert.equal(reader.sequence, sequence);
      }
      assert.equal(writer.sequence, 2);
    });

    test(`${name}: every bit of a packet is guarded`, () => {
      const { stream, writes } = sink();
      const writer = new PacketWriter(stream, () => {});
      writer.switch(cipher.sealer(keysOf(cipher, mac), mac), true);
      writer.packet(new Uint8Array(20).fill(94));
      writer.flush();
      const packet = writes[0] as Buffer;
      for (let at = 0; at < packet.length; at++) {
        const changed = Buffer.from(packet);
        changed[at] = (changed[at] as number) ^ 1;
        const reader = new PacketReader();
        reader.switch(cipher.opener(keysOf(cipher, mac), mac), true);
        // Room for what a changed length may ask for.
        reader.push(Buffer.concat([changed, Buffer.alloc(40_000)]));
        assert.throws(
          () => reader.next(),
          (err) => Fault.is(err, "protocol"),
          `byte ${at}`,
        );
      }
    });

    for (const [what, order] of [
      ["left out", [0, 2]],
      ["sent twice", [0, 0]],
    ] as const) {
      test(`${name}: a packet that was ${what} is noticed`, () => {
        const { stream, writes, taken } = sink();
        const writer = new PacketWriter(stream, () => {});
        writer.switch(cipher.sealer(keysOf(cipher, mac), mac), true);
        for (let i = 0; i < 3; i++) {
          writer.packet(new Uint8Array(20).fill(94));
          writer.flush();
          taken();
        }
        const reader = new PacketReader();
        reader.switch(cipher.opener(keysOf(cipher, mac), mac), true);
        for (const i of order) reader.push(writes[i] as Buffer);
        reader.push(Buffer.alloc(40_000)); // room for what a wrong length may ask for
        assert.equal(reader.next()?.length, 20);
        assert.throws(
          () => reader.next(),
          (err) => Fault.is(err, "protocol"),
        );
      });
    }
  }

  test("packets of one turn go out in one write, and wait for the one under way", async () => {
    const { stream, writes, taken } = sink();
    let told = 0;
    const writer = new PacketWriter(stream, () => told++);
    for (let i = 0; i < 100; i++) writer.packet(new Uint8Array(50));
    await turn();
    assert.equal(writes.length, 1);
    assert.equal(writes[0]?.length, writer.pending);
    for (let i = 0; i < 100; i++) {
      writer.packet(new Uint8Array(50));
      if (i % 10 === 0) await turn();
    }
    assert.equal(writes.length, 1);
    taken();
    await turn();
    assert.equal(writes.length, 2);
    assert.equal(told, 1);
    assert.equal(writer.pending, writes[1]?.length);
    taken();
    await turn();
    assert.equal(writer.pending, 0);
  });

  test("what is sent may be changed by its owner at once", async () => {
    const { stream, writes } = sink();
    const writer = new PacketWriter(stream, () => {});
    const reader = new PacketReader();
    const head = Uint8Array.of(94, 1);
    const data = new Uint8Array(100).fill(7);
    writer.packet(head, data);
    head.fill(0);
    data.fill(0);
    await turn();
    reader.push(writes[0] as Buffer);
    assert.deepEqual(reader.next(), Uint8Array.of(94, 1, ...new Uint8Array(100).fill(7)));
  });

  test("bulk goes out in large writes", async () => {
    const { stream, writes, taken } = sink();
    const writer = new PacketWriter(stream, () => {});
    for (let i = 0; i < 64; i++) writer.packet(new Uint8Array(32 * 1024));
    while (writer.pending > 0) {
      taken();
      await turn();
    }
    assert.ok(writes.length < 64 / 3, `${writes.length} writes`);
  });

  test("S11: a payload larger than any packet is refused, not cut or looped over", () => {
    const writer = new PacketWriter(sink().stream, () => {});
    assert.throws(() => writer.packet(new Uint8Array(256 * 1024)), /does not fit into a packet/);
    writer.packet(new Uint8Array(255 * 1024));
  });

  test("large packets are taken only once they are allowed", () => {
    const { stream, writes } = sink();
    const writer = new PacketWriter(stream, () => {});
    writer.packet(new Uint8Array(100_000).fill(94));
    writer.flush();
    const before = new PacketReader();
    before.push(writes[0] as Buffer);
    assert.throws(() => before.next(), /bytes long/);
    const after = new PacketReader();
    after.allowLargePackets();
    after.push(writes[0] as Buffer);
    assert.equal(after.next()?.length, 100_000);
  });
});
