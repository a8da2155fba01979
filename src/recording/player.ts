import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import type { Print, RecordingEvent } from "./log.ts";

/** The next thing to show, `delayMs` after the one before; `at` is its place in the session. */
export type Frame = { readonly delayMs: Millis; readonly at: Millis } & (
  | { readonly type: "output"; readonly data: Uint8Array }
  | { readonly type: "resize"; readonly columns: number; readonly rows: number }
);

export interface PlayOptions {
  /** Begin here: all that comes before is shown without delay, so that the screen is as it was then. */
  readonly from?: Millis;
}

/** Reads `length` bytes of the stream at `offset`; fewer only where the stream ends. */
type ReadBytes = (offset: number, length: number) => Promise<Uint8Array>;

/**
 * What a terminal that replays the session has to show. `read` is called for each chunk when it is due, once; the size of
 * a chunk is bounded. Throws `protocol` where the recording is damaged or cut off, after all that comes before.
 */
export async function* play(
  events: AsyncIterable<RecordingEvent> | Iterable<RecordingEvent>,
  read: ReadBytes,
  { from = 0 }: PlayOptions = {},
): AsyncGenerator<Frame> {
  let start: Millis | undefined;
  let at: Millis = 0;
  let shown = from;
  let offset = 0;
  for await (const event of events) {
    start ??= Date.parse(event.time);
    // The order of the lines is the truth; clocks may have jumped.
    at = Math.max(at, event.event === "print" ? event.ms : Date.parse(event.time) - start);
    const when = { at, delayMs: Math.max(0, at - shown) };
    if (event.event === "print") {
      yield { ...when, type: "output", data: await chunk(event, offset, read) };
      offset += event.bytes;
    } else if (event.event === "session.start" || event.event === "resize") {
      yield { ...when, type: "resize", ...sizeOf(event.size) };
    } else {
      continue;
    }
    shown = Math.max(shown, at);
  }
}

/** Far more than a writer puts into one chunk. */
const maxChunk = 1024 * 1024; // bytes

async function chunk({ bytes, offset, ci }: Print, expected: number, read: ReadBytes): Promise<Uint8Array> {
  const damaged = (why: string): Fault =>
    new Fault("protocol", `the recording is damaged: its chunk ${ci} ${why}`);
  if (offset !== expected) throw damaged(`is said to be at ${offset}, not at ${expected}`);
  if (bytes > maxChunk) throw damaged(`is said to have ${bytes} bytes`);
  const data = await read(offset, bytes);
  if (data.length !== bytes) throw damaged("is cut off");
  return data;
}

function sizeOf(size: string): { columns: number; rows: number } {
  const [columns, rows] = size.split(":");
  return { columns: Number(columns), rows: Number(rows) };
}
