import { z } from "zod";
import { Fault } from "#core/errors";
import { AuditEvent } from "#events";

/** One chunk of output: `bytes` of the stream from `offset` on, `ms` after the session's first event. */
export const Print = z.strictObject({
  event: z.literal("print"),
  time: z.iso.datetime(),
  bytes: z.int().positive(),
  ms: z.int().nonnegative(),
  offset: z.int().nonnegative(),
  /** Index among all events of the session. */
  ei: z.int().nonnegative(),
  /** Index among its chunks. */
  ci: z.int().nonnegative(),
});
export type Print = z.infer<typeof Print>;

/** A line of `<sid>.session.log`. */
export type RecordingEvent = AuditEvent | Print;

/** No line we write comes near; a longer one is damage. */
const maxLine = 1024 * 1024; // bytes

/**
 * The lines of a session log. The recording may have been cut off while it was written: an unfinished last line is left out.
 * Throws `protocol` with the line's number for one that cannot be understood, after those before it.
 */
export async function* parseEvents(
  log: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<RecordingEvent> {
  let number = 0;
  for await (const line of lines(log)) {
    number++;
    const event = line === undefined ? undefined : parseEvent(line);
    if (!event)
      throw new Fault("protocol", `the recording is damaged: line ${number} of its log makes no sense`);
    yield event;
  }
}

function parseEvent(line: Uint8Array): RecordingEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch {
    return undefined;
  }
  const isPrint = typeof value === "object" && value !== null && "event" in value && value.event === "print";
  return (isPrint ? Print : AuditEvent).safeParse(value).data;
}

/** Complete lines; undefined, and then the end, for one that is too long. */
async function* lines(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array | undefined> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (let chunk of chunks) {
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline)) {
      yield concat([...parts, chunk.subarray(0, end)]);
      parts = [];
      length = 0;
      chunk = chunk.subarray(end + 1);
    }
    parts.push(chunk);
    length += chunk.length;
    if (length > maxLine) {
      yield undefined;
      return;
    }
  }
}

const newline = 0x0a;

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
