import { crc32, deflateSync } from "node:zlib";
import { encode } from "uqr";

const side = 456; // pixels, AUTH-37

/** A QR code of `text` as a black and white PNG of 456x456 pixels (PNG specification, third edition). */
export function qrPng(text: string): Uint8Array {
  const { data, size } = encode(text, { ecc: "M", border: 4 });
  const scale = Math.floor(side / size);
  const margin = Math.floor((side - size * scale) / 2);
  const isDark = (x: number, y: number): boolean =>
    data[Math.floor((y - margin) / scale)]?.[Math.floor((x - margin) / scale)] === true;

  const stride = 1 + side / 8; // a filter byte, then one bit a pixel
  const rows = new Uint8Array(stride * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = y * stride + 1 + (x >> 3);
      if (!isDark(x, y)) rows[at] = (rows[at] as number) | (0x80 >> (x & 7));
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 1; // bits a pixel; colour type 0 is greyscale
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

function chunk(type: string, body: Uint8Array): Uint8Array {
  const named = Buffer.concat([Buffer.from(type, "latin1"), body]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(body.length, 0);
  framed.set(named, 4);
  framed.writeUInt32BE(crc32(named), named.length + 4);
  return framed;
}
