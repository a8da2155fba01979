import { Fault } from "#core/errors";

/** Seconds since the Unix epoch. */
export interface Times {
  readonly modified: number;
  readonly accessed: number;
}

/** What scp says before each thing it copies. Names are bytes: not every file name is UTF-8. */
export type Announcement =
  | { readonly kind: "times"; readonly times: Times }
  | { readonly kind: "file"; readonly mode: number; readonly size: number; readonly name: Uint8Array }
  | { readonly kind: "directory"; readonly mode: number; readonly name: Uint8Array }
  | { readonly kind: "up" };

/** `C0644 12 name`, `D0755 0 name`, `T1 0 2 0`, `E`. Throws `protocol` for anything else, and for names that climb. */
export function parseAnnouncement(line: Uint8Array): Announcement {
  const text = Buffer.from(line).toString("latin1");
  if (text === "E") return { kind: "up" };
  const times = /^T(\d{1,15}) \d{1,6} (\d{1,15}) \d{1,6}$/.exec(text);
  if (times) return { kind: "times", times: { modified: Number(times[1]), accessed: Number(times[2]) } };
  const entry = /^([CD])([0-7]{3,5}) (\d{1,15}) (.+)$/s.exec(text);
  if (!entry) throw new Fault("protocol", "scp: the other side does not speak the scp protocol");
  const [, letter, octal, size, name = ""] = entry;
  // A name is one step down: anything else would write where the user did not point.
  if (name === "." || name === ".." || /[/\0]/.test(name)) {
    throw new Fault("protocol", `scp: refused the file name ${JSON.stringify(name)}`);
  }
  const mode = Number.parseInt(octal as string, 8) & 0o7777;
  const bytes = line.subarray(line.length - name.length);
  if (letter === "D") return { kind: "directory", mode, name: bytes };
  return { kind: "file", mode, size: Number(size), name: bytes };
}

/** A line as the other side reads it, newline included. */
export function formatAnnouncement(what: Announcement): Uint8Array {
  switch (what.kind) {
    case "up":
      return ascii("E\n");
    case "times":
      return ascii(`T${Math.trunc(what.times.modified)} 0 ${Math.trunc(what.times.accessed)} 0\n`);
    case "file":
      return Buffer.concat([ascii(`C${octal(what.mode)} ${what.size} `), oneLine(what.name), ascii("\n")]);
    case "directory":
      return Buffer.concat([ascii(`D${octal(what.mode)} 0 `), oneLine(what.name), ascii("\n")]);
  }
}

const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1");
const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, "0");

/** A newline would end the line; OpenSSH's scp writes it as `\^J` too. */
function oneLine(name: Uint8Array): Uint8Array {
  if (!name.includes(0x0a)) return name;
  return Buffer.from(Buffer.from(name).toString("latin1").replaceAll("\n", "\\^J"), "latin1");
}
