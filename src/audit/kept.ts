import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { day, type Millis } from "#core/clock";
import type { AuditEvent } from "#events";
import { dayFile } from "./search.ts";

/**
 * Which of the events stand in the files of their days. They may have been written a day before what their time says now, by
 * a sender whose clock was ahead. A line that was cut off does not count; what is found is on disk (fsync) when this answers.
 */
export async function keptIn(
  folder: string,
  events: readonly AuditEvent[],
  now: Millis,
): Promise<ReadonlySet<string>> {
  const asked = new Set(events.map(({ uid }) => uid));
  const times = events.map(({ time }) => Math.min(Date.parse(time), now));
  const files = new Set(times.flatMap((time) => [dayFile(time), dayFile(Math.max(time - day, 0))]));
  const found = new Set<string>();
  for (const name of files) {
    const path = join(folder, name);
    const before = found.size;
    for await (const uid of uidsIn(path, asked)) found.add(uid);
    if (found.size === before) continue;
    // Whoever wrote them may have died before this.
    const file = await open(path);
    await file.datasync().finally(() => file.close());
  }
  return found;
}

/** Of whole lines only. Within a JSON text a quote is escaped: where this stands, it is the key. */
const uidOf = /"uid":"([0-9a-f-]{36})"/;

async function* uidsIn(path: string, asked: ReadonlySet<string>): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const chunk of createReadStream(path, { encoding: "latin1", highWaterMark: 256 * 1024 })) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const uid = uidOf.exec(line)?.[1];
        if (uid !== undefined && asked.has(uid) && isWhole(line)) yield uid;
      }
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
  }
}

/** A line that was cut off may have another behind it, after the line break that closed it. */
function isWhole(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}
