import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Millis } from "#core/clock";
import { AuditEvent } from "#events";
import { type Found, limitOf, type Query } from "./store.ts";

/** No event comes near; the bound keeps readers safe. */
export const maxLine = 1024 * 1024; // bytes

/** The name of the file that holds the UTC day of `time`. */
export const dayFile = (time: Millis): string => `${new Date(time).toISOString().slice(0, 10)}.00:00:00.log`;

interface Match {
  readonly event: AuditEvent;
  readonly time: Millis;
  /** Among events of one time the later written is the newer. */
  readonly order: number;
}

/** Looks through the files of the days that `query` spans. */
export async function searchFiles(folder: string, query: Query): Promise<Found> {
  const limit = limitOf(query);
  const first = dayFile(clamp(query.from));
  const last = dayFile(clamp(query.to));
  const names = (await readdir(folder)).filter((name) => /^\d{4}-\d\d-\d\d\.00:00:00\.log$/.test(name));
  let matches: Match[] = [];
  let unreadable = 0;
  let order = 0;
  for (const name of names.sort().reverse()) {
    if (name < first || name > last) continue;
    for await (const line of lines(join(folder, name))) {
      const match = matching(line, query, order++);
      if (match === "unreadable") unreadable++;
      else if (match) matches.push(match);
      // Bounds memory: what is cut here could not be among the newest.
      if (matches.length > 2 * (limit + 1000)) matches = newest(matches, limit + 1);
    }
    // Older files hold older events only.
    if (matches.length > limit) break;
  }
  const events = newest(matches, limit).map(({ event }) => event);
  return { events, more: matches.length > limit, unreadable };
}

const newest = (matches: readonly Match[], count: number): Match[] =>
  matches.toSorted((a, b) => b.time - a.time || b.order - a.order).slice(0, count);

function matching(line: string, query: Query, order: number): Match | "unreadable" | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "unreadable";
  }
  if (typeof value !== "object" || value === null) return "unreadable";
  const fields = value as Readonly<Record<string, unknown>>;
  // What does not match is not looked at closer: most lines.
  if (query.events && !query.events.includes(String(fields.event))) return undefined;
  if (query.user !== undefined && fields.user !== query.user) return undefined;
  if (query.sid !== undefined && fields.sid !== query.sid) return undefined;
  const time = Date.parse(String(fields.time));
  if (time < query.from || time > query.to) return undefined;
  const { data: event } = AuditEvent.safeParse(value);
  return event ? { event, time, order } : "unreadable";
}

/** A time that a Date can have. */
const clamp = (time: Millis): Millis => Math.min(Math.max(time, 0), Date.UTC(9999, 11, 31));

async function* lines(path: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of createReadStream(path, { encoding: "utf8", highWaterMark: 256 * 1024 })) {
    const pieces = (rest + chunk).split("\n");
    rest = pieces.pop() ?? "";
    for (const line of pieces) if (line !== "") yield line;
    // No line of ours is so long: damage, which must not fill the memory.
    if (rest.length > maxLine) {
      yield rest;
      rest = "";
    }
  }
  // Cut off by a crash, or being written right now.
  if (rest !== "") yield rest;
}
