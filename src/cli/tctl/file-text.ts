import { open } from "node:fs/promises";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import { textIn } from "../settings.ts";

/** Bytes. What is larger is no file of resources, and may have no end. */
const most = 16 << 20;

/** The text of a file, or of standard input for `-` or none, and what complaints call it. Throws `bad_parameter`. */
export async function readText(
  path: string | undefined,
  io: Io,
  signal: AbortSignal,
): Promise<{ text: string; name: string }> {
  if (path === undefined || path === "-") {
    const name = "standard input";
    return { text: textIn(await io.readAll(signal, most), name), name };
  }
  return { text: textIn(await bytesOf(path), path), name: path };
}

async function bytesOf(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of file.createReadStream({ autoClose: false }) as AsyncIterable<Uint8Array>) {
      parts.push(part);
      size += part.byteLength;
      if (size > most) throw new Fault("bad_parameter", `${path} is larger than ${most >> 20} MiB`);
    }
    return Buffer.concat(parts);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Fault("bad_parameter", `file not found: ${path}`, { cause });
    if (code === "EISDIR")
      throw new Fault("bad_parameter", `${path} is a folder; tctl apply -f takes folders`, { cause });
    throw new Fault("access_denied", `cannot read ${path}: ${message}`, { cause });
  }
}
