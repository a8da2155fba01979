import { Fault } from "#core/errors";

/** Terminal modes by number (RFC 4254 §8): characters 1-18, flags 30-93, speeds 128 and 129. Unknown ones are kept. */
export type TerminalModes = ReadonlyMap<number, number>;

const end = 0;
/** Opcodes from here on have no defined argument: reading stops at the first (RFC 4254 §8). */
const firstUndefined = 160;

/** Reads the encoded modes of `pty-req`. Throws `protocol` when an argument is cut off; a missing end mark is forgiven. */
export function decodeModes(encoded: Uint8Array): TerminalModes {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const modes = new Map<number, number>();
  for (let at = 0; at < encoded.length; at += 5) {
    const opcode = view.getUint8(at);
    if (opcode === end || opcode >= firstUndefined) break;
    if (at + 5 > encoded.length) throw new Fault("protocol", "terminal modes are cut off");
    modes.set(opcode, view.getUint32(at + 1));
  }
  return modes;
}

/** The modes in the given order, with the end mark. */
export function encodeModes(modes: TerminalModes): Uint8Array {
  const encoded = new Uint8Array(modes.size * 5 + 1);
  const view = new DataView(encoded.buffer);
  let at = 0;
  for (const [opcode, value] of modes) {
    view.setUint8(at, opcode);
    view.setUint32(at + 1, value);
    at += 5;
  }
  return encoded;
}
