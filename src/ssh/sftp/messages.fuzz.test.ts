import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { structure } from "../wire/structure.ts";
import { attributes } from "./attributes.ts";
import * as wire from "./messages.ts";

interface Codec {
  readonly name: string;
  readonly id?: number;
  decode(bytes: Uint8Array): object;
  encode(values: never): Uint8Array;
}
const isCodec = (value: unknown): value is Codec =>
  typeof value === "object" && value !== null && "decode" in value && "encode" in value;
const codecs = [
  ...Object.values<unknown>(wire),
  ...Object.values<unknown>(wire.extendedRequests),
  structure("attributes", { attributes }),
].filter(isCodec);

suite("wire of SFTP, any input", () => {
  for (const codec of codecs) {
    test(`${codec.name}: what decodes encodes to the same values; the rest is a protocol fault`, () => {
      // Mostly small bytes, so that the lengths inside are plausible.
      const anyBody = fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(9) }, fc.nat(255)), { maxLength: 96 });
      fc.assert(
        fc.property(anyBody, (body) => {
          const given = Uint8Array.of(...(codec.id === undefined ? [] : [codec.id]), ...body);
          let values: object;
          try {
            values = codec.decode(given);
          } catch (err) {
            if (Fault.is(err, "protocol")) return;
            throw err;
          }
          const encoded = codec.encode(values as never);
          // Extended attributes and unknown flags are read past.
          assert.ok(encoded.length <= given.length);
          assert.deepEqual(codec.decode(encoded), values);
        }),
        { numRuns: Number(process.env.FUZZ_RUNS ?? 300) },
      );
    });
  }

  const uint32 = fc.nat(0xffff_ffff);
  const anyAttributes = fc.record(
    {
      size: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      owner: fc.record({ uid: uint32, gid: uint32 }, { noNullPrototype: true }),
      permissions: uint32,
      times: fc.record({ accessed: uint32, modified: uint32 }, { noNullPrototype: true }),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  test("attributes come back as they were sent, absent ones absent", () => {
    fc.assert(
      fc.property(uint32, fc.uint8Array(), anyAttributes, (id, path, sent) => {
        const request = { id, path, attributes: sent };
        assert.deepEqual(wire.Setstat.decode(wire.Setstat.encode(request)), request);
      }),
    );
  });

  test("names come back as they were sent, whatever their bytes", () => {
    const name = fc.record(
      {
        filename: fc.uint8Array(),
        longname: fc.uint8Array(),
        attributes: anyAttributes,
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(uint32, fc.array(name), (id, names) => {
        assert.deepEqual(wire.NameAnswer.decode(wire.NameAnswer.encode({ id, names })), { id, names });
      }),
    );
  });
});
