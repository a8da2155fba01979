import { isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { defaultPlaces, load, type ParsedFile, type Places } from "#config";
import { Fault } from "#core/errors";
import type { Io } from "./io.ts";

/** Flags that say where the configuration is. */
export interface ConfigFlags {
  readonly config?: string | undefined;
  readonly configString?: string | undefined;
}

/**
 * The configuration that the flags name, or the one at its usual place; without any, the defaults. Throws
 * `bad_parameter` when it cannot be read as such.
 */
export async function readSettings(
  flags: ConfigFlags,
  io: Io,
  places: Places = defaultPlaces({ ...io.machine, env: io.env }),
): Promise<{ file: ParsedFile; places: Places }> {
  const { parseConfigFile } = await load();
  const warnings: string[] = [];
  const { text, name } = await textOf(flags, io, places, warnings);
  const file = parseConfigFile(text, name);
  return { file: { ...file, warnings: [...warnings, ...file.warnings] }, places };
}

async function textOf(
  flags: ConfigFlags,
  io: Io,
  places: Places,
  warnings: string[],
): Promise<{ text: string; name: string }> {
  if (flags.configString) return { text: fromBase64(flags.configString), name: "TELEPORT_CONFIG" };
  if (flags.config !== undefined) return { text: await read(flags.config), name: flags.config };
  for (const path of places.configFiles) {
    const doubt = await doubtOf(path, io.machine.uid);
    if (doubt === "missing") continue;
    if (!doubt) return { text: await read(path), name: path };
    warnings.push(`${path} is not read: ${doubt}; name it with --config if you trust it`);
  }
  return { text: "", name: "defaults" };
}

async function read(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT") throw new Fault("bad_parameter", `file not found: ${path}`, { cause });
    if (code === "EISDIR") throw new Fault("bad_parameter", `${path} is a folder, not a file`, { cause });
    if (code === "EACCES") {
      throw new Fault("bad_parameter", `this user may not read ${path}`, { cause });
    }
    throw new Fault("bad_parameter", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  return textIn(bytes, path);
}

/** A name with a mark in place of its letters would be believed: bytes that are no text are refused. */
export function textIn(bytes: Uint8Array, path: string): string {
  const whole = Buffer.from(bytes);
  if (isUtf8(whole)) return whole.toString("utf8");
  let line = 1;
  for (let start = 0; ; line++) {
    const end = whole.indexOf(0x0a, start);
    if (!isUtf8(whole.subarray(start, end < 0 ? whole.length : end))) break;
    start = end + 1;
  }
  throw new Fault("bad_parameter", `${path}:${line}:1: this line is not UTF-8 text; save the file as UTF-8`);
}

function fromBase64(text: string): string {
  const bare = text.replace(/\s/g, "");
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(bare)) {
    throw new Fault(
      "bad_parameter",
      "TELEPORT_CONFIG (--config-string) is not base64 of a configuration file",
    );
  }
  return Buffer.from(bare, "base64").toString("utf8");
}

/** Why a file that nobody named should not be obeyed: another user could have written it. */
async function doubtOf(path: string, uid: number): Promise<string | undefined> {
  for (const each of [path, dirname(path)]) {
    const found = await stat(each).catch(() => undefined);
    if (!found) return "missing";
    if (uid >= 0 && found.uid !== 0 && found.uid !== uid) return `${each} belongs to another user`;
    if ((found.mode & 0o002) !== 0) return `every user may write to ${each}`;
  }
  return undefined;
}
