import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, inflateSync } from "node:zlib";
import { encode } from "uqr";
import { qrPng } from "./qr.ts";

test("the PNG is 456 pixels square, whole, and shows the code's modules with a quiet zone", () => {
  const uri = "otpauth://totp/Teleport:alice@main?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Teleport";
  const png = Buffer.from(qrPng(uri));
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const body = png.subarray(at + 4, at + 8 + length);
    assert.equal(crc32(body), png.readUInt32BE(at + 8 + length));
    chunks.set(body.subarray(0, 4).toString(), body.subarray(4));
    at += length + 12;
  }
  assert.deepEqual([...chunks.keys()], ["IHDR", "IDAT", "IEND"]);
  assert.equal(chunks.get("IHDR")?.toString("hex"), "000001c8000001c80100000000");
  const rows = inflateSync(chunks.get("IDAT") ?? "");
  assert.equal(rows.length, 456 * 58);
  const isDark = (x: number, y: number): boolean =>
    (((rows[y * 58 + 1 + (x >> 3)] as number) >> (7 - (x & 7))) & 1) === 0;

  const { data, size } = encode(uri, { ecc: "M", border: 4 });
  const scale = Math.floor(456 / size);
  const margin = Math.floor((456 - size * scale) / 2);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const middle = (at: number): number => margin + at * scale + (scale >> 1);
      assert.equal(isDark(middle(x), middle(y)), data[y]?.[x], `module ${x},${y}`);
    }
  }
  for (let at = 0; at < 456; at++) assert.equal(isDark(at, 0) || isDark(0, at) || isDark(455, at), false);
});
