import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import * as forward from "../forward/requests.ts";
import { sessionRequests } from "../session/requests.ts";
import * as connection from "./connection.ts";
import * as userauth from "./userauth.ts";

interface Codec {
  decode(payload: Uint8Array): object;
  encode(values: never): Uint8Array;
}
const isCodec = (value: unknown): value is Codec =>
  typeof value === "object" && value !== null && "decode" in value && "encode" in value;
const all: Record<string, unknown> = { ...connection, ...userauth, ...forward, ...sessionRequests };
const codecs = Object.entries(all).flatMap(([name, one]): [string, Codec][] =>
  isCodec(one) ? [[name, one]] : [],
);

suite("wire of authentication, connection, sessions and forwards, any input", () => {
  for (const [name, codec] of codecs) {
    const id = "id" in codec ? [codec.id as number] : [];
    // Mostly small bytes, so that the lengths inside are plausible.
    const anyBody = fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(9) }, fc.nat(255)), { maxLength: 64 });
    test(`${name}: what decodes encodes to the same values; the rest is a protocol fault`, () => {
      fc.assert(
        fc.property(anyBody, (body) => {
          let values: object;
          try {
            values = codec.decode(Uint8Array.of(...id, ...body));
          } catch (err) {
            if (Fault.is(err, "protocol")) return;
            throw err;
          }
          const encoded = codec.encode(values as never);
          assert.deepEqual(codec.encode(codec.decode(encoded) as never), encoded);
        }),
        { numRuns: Number(process.env.FUZZ_RUNS ?? 300) },
      );
    });
  }
});
