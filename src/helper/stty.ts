/**
 * The terminal modes of a `pty-req` (RFC 4254 §8: opcode → value) as arguments of stty(1). Opcodes that this machine's
 * terminals do not have are left out; the baud rates too, they mean nothing on a pseudo-terminal.
 */
export function sttyArguments(modes: ReadonlyMap<number, number>): string[] {
  const args: string[] = [];
  for (const [opcode, value] of modes) {
    const character = characters[opcode];
    const flag = flags[opcode];
    // 255 means: no character does this.
    if (character !== undefined)
      args.push(character, value === 255 ? "undef" : controlCharacter(value & 0xff));
    else if (flag !== undefined) args.push(value === 0 ? `-${flag}` : flag);
    else if (opcode === 90 && value !== 0) args.push("cs7");
    else if (opcode === 91 && value !== 0) args.push("cs8");
  }
  return args;
}

/** stty reads a lone digit as a number, and a number as the character's code. */
const controlCharacter = (code: number): string => `0x${code.toString(16)}`;

const characters: Readonly<Record<number, string>> = {
  1: "intr",
  2: "quit",
  3: "erase",
  4: "kill",
  5: "eof",
  6: "eol",
  7: "eol2",
  8: "start",
  9: "stop",
  10: "susp",
  12: "rprnt",
  13: "werase",
  14: "lnext",
  16: "swtch",
  18: "discard",
};

const flags: Readonly<Record<number, string>> = {
  30: "ignpar",
  31: "parmrk",
  32: "inpck",
  33: "istrip",
  34: "inlcr",
  35: "igncr",
  36: "icrnl",
  37: "iuclc",
  38: "ixon",
  39: "ixany",
  40: "ixoff",
  41: "imaxbel",
  42: "iutf8",
  50: "isig",
  51: "icanon",
  52: "xcase",
  53: "echo",
  54: "echoe",
  55: "echok",
  56: "echonl",
  57: "noflsh",
  58: "tostop",
  59: "iexten",
  60: "echoctl",
  61: "echoke",
  70: "opost",
  71: "olcuc",
  72: "onlcr",
  73: "ocrnl",
  74: "onocr",
  75: "onlret",
  92: "parenb",
  93: "parodd",
};
