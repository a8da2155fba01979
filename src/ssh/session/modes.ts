import { Fault } from "#core/errors";

/** Terminal modes by number (RFC 4254 §8): characters 1-18, flags 30-93, speeds 128 and 129. Unknown ones are kept. */
export type TerminalModes = ReadonlyMap<number, number>;

/** RFC 4254 §8, RFC 8160 §2. The names are those of termios(3). */
export const TerminalMode = {
  VINTR: 1,
  VQUIT: 2,
  VERASE: 3,
  VKILL: 4,
  VEOF: 5,
  VEOL: 6,
  VEOL2: 7,
  VSTART: 8,
  VSTOP: 9,
  VSUSP: 10,
  VDSUSP: 11,
  VREPRINT: 12,
  VWERASE: 13,
  VLNEXT: 14,
  VFLUSH: 15,
  VSWTCH: 16,
  VSTATUS: 17,
  VDISCARD: 18,
  IGNPAR: 30,
  PARMRK: 31,
  INPCK: 32,
  ISTRIP: 33,
  INLCR: 34,
  IGNCR: 35,
  ICRNL: 36,
  IUCLC: 37,
  IXON: 38,
  IXANY: 39,
  IXOFF: 40,
  IMAXBEL: 41,
  IUTF8: 42,
  ISIG: 50,
  ICANON: 51,
  XCASE: 52,
  ECHO: 53,
  ECHOE: 54,
  ECHOK: 55,
  ECHONL: 56,
  NOFLSH: 57,
  TOSTOP: 58,
  IEXTEN: 59,
  ECHOCTL: 60,
  ECHOKE: 61,
  PENDIN: 62,
  OPOST: 70,
  OLCUC: 71,
  ONLCR: 72,
  OCRNL: 73,
  ONOCR: 74,
  ONLRET: 75,
  CS7: 90,
  CS8: 91,
  PARENB: 92,
  PARODD: 93,
  TTY_OP_ISPEED: 128,
  TTY_OP_OSPEED: 129,
} as const;

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
