import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { decodeDial, decodeDiscovery, encodeDial, encodeDiscovery } from "./protocol.ts";

const protocolOnly = (decode: (payload: Uint8Array) => unknown, payload: Uint8Array): void => {
  try {
    decode(payload);
  } catch (err) {
    assert.ok(Fault.is(err, "protocol"), String(err));
  }
};

suite("what is said over a tunnel (TUN-03)", () => {
  const dial = { address: "db1:0", client_addr: "192.0.2.7:50022", certificate: "AAAA" };

  test("is read as it was written", () => {
    assert.deepEqual(decodeDial(encodeDial(dial)), dial);
    assert.deepEqual(decodeDiscovery(encodeDiscovery(["a", "b"])), ["a", "b"]);
    // What a later version adds is passed over.
    const more = Buffer.from(JSON.stringify({ ...dial, exclusive: true }));
    assert.deepEqual(decodeDial(more), dial);
  });
  test("is refused when it makes no sense", () => {
    for (const given of [
      "",
      "{",
      "null",
      "[]",
      "{}",
      JSON.stringify({ ...dial, address: "" }),
      JSON.stringify({ ...dial, address: "a".repeat(301) }),
      JSON.stringify({ ...dial, address: "db1\u001b[2J:0" }),
      JSON.stringify({ ...dial, client_addr: 7 }),
      JSON.stringify({ ...dial, client_addr: "db1:22" }),
      JSON.stringify({ ...dial, client_addr: "192.0.2.7:22\0" }),
      JSON.stringify({ ...dial, certificate: "A".repeat(40_000) }),
    ])
      assert.throws(() => decodeDial(Buffer.from(given)), { kind: "protocol" }, given.slice(0, 60));
    for (const given of [
      "{}",
      '{"proxies":"a"}',
      '{"proxies":[""]}',
      `{"proxies":[${'"a",'.repeat(1001)}"a"]}`,
    ])
      assert.throws(() => decodeDiscovery(Buffer.from(given)), { kind: "protocol" });
  });
  test("no bytes bring anything but that refusal about", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        protocolOnly(decodeDial, bytes);
        protocolOnly(decodeDiscovery, bytes);
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const bytes = Buffer.from(JSON.stringify(value));
        protocolOnly(decodeDial, bytes);
        protocolOnly(decodeDiscovery, bytes);
      }),
    );
  });
});
