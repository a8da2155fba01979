import type { AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import type { Clock, Millis } from "#core/clock";
import { type Frame, parseEvents, play } from "#recording";
import { afterRecording, ScreenFilter } from "./screen.ts";

export { afterRecording, ScreenFilter };

const chunkSize = 1_000_000; // bytes

/** A recording as the auth server holds it, read piece by piece as it is shown. */
export async function openRecording(
  auth: Pick<Client<AuthContract>, "recordings.read">,
  sid: string,
  signal: AbortSignal,
): Promise<{ frames(from: Millis): AsyncIterable<Frame> }> {
  const read = async (file: "bytes" | "log", offset: number, length: number): Promise<Buffer> =>
    Buffer.from((await auth["recordings.read"]({ sid, file, offset, length }, signal)).data, "base64");
  const log: Buffer[] = [];
  for (
    let offset = 0, part = await read("log", 0, chunkSize);
    part.length > 0;
    part = await read("log", offset, chunkSize)
  ) {
    log.push(part);
    offset += part.length;
  }
  const events = await Array.fromAsync(parseEvents(log));
  // Frames are small and come in order: one piece serves many of them.
  let piece: { offset: number; data: Buffer } = { offset: 0, data: Buffer.alloc(0) };
  const bytes = async (offset: number, length: number): Promise<Uint8Array> => {
    const inPiece = (): boolean =>
      offset >= piece.offset && offset + length <= piece.offset + piece.data.length;
    if (!inPiece()) piece = { offset, data: await read("bytes", offset, Math.max(length, chunkSize)) };
    return piece.data.subarray(offset - piece.offset, offset - piece.offset + length);
  };
  return { frames: (from) => play(events, bytes, { from }) };
}

/** What a person at the keyboard may ask a player for. */
export type PlayerKey = "pause" | "faster" | "slower" | "forward" | "back" | "stop";

const arrows: Readonly<Record<string, PlayerKey>> = {
  "[C": "forward",
  OC: "forward",
  "[D": "back",
  OD: "back",
  "[A": "faster",
  OA: "faster",
  "[B": "slower",
  OB: "slower",
};

/**
 * Reads keys: space pauses, left and right seek, up and down change the speed, + and - too, q or Ctrl-C or Ctrl-D stop.
 * What a terminal answers to a query in the recording is no key.
 */
export function playerKeys(typed: Uint8Array): PlayerKey[] {
  const keys: PlayerKey[] = [];
  for (const [sequence, key] of Buffer.from(typed).toString("latin1").matchAll(input)) {
    const arrow = sequence.length === 3 ? arrows[sequence.slice(1)] : undefined;
    if (arrow !== undefined) keys.push(arrow);
    else if (key === " " || key === "p") keys.push("pause");
    else if (key === "+" || key === "=") keys.push("faster");
    else if (key === "-") keys.push("slower");
    else if (key === "q" || key === "\x03" || key === "\x04") keys.push("stop");
  }
  return keys;
}

/** A control sequence, a string sequence (OSC, DCS), another escape, or one character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is read
const input = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[\s\S]{0,2}|([\s\S])/g;

const seekStep: Millis = 5000;
/** Times the recording's own. */
export const speeds = [0.25, 0.5, 1, 2, 4, 8, 16];

/** Plays a recording with its own timing, obeying keys. Time is `clock`'s. */
export class Player {
  readonly #recording: { frames(from: Millis): AsyncIterable<Frame> };
  readonly #clock: Clock;
  readonly #write: (data: Uint8Array) => Promise<void>;
  #speed: number;
  #paused = false;
  #at: Millis = 0;
  #seek: Millis = 0;
  #stopped = false;
  #changed = new AbortController();

  constructor(parts: {
    recording: { frames(from: Millis): AsyncIterable<Frame> };
    clock: Clock;
    write: (data: Uint8Array) => Promise<void>;
    /** One of `speeds`; default 1. */
    speed?: number;
  }) {
    this.#speed = Math.max(0, speeds.indexOf(parts.speed ?? 1));
    this.#recording = parts.recording;
    this.#clock = parts.clock;
    this.#write = parts.write;
  }

  press(key: PlayerKey): void {
    if (key === "pause") this.#paused = !this.#paused;
    if (key === "faster") this.#speed = Math.min(this.#speed + 1, speeds.length - 1);
    if (key === "slower") this.#speed = Math.max(this.#speed - 1, 0);
    // From where the player is when it wakes, not from where it last showed something.
    if (key === "forward") this.#seek += seekStep;
    if (key === "back") this.#seek -= seekStep;
    if (key === "stop") this.#stopped = true;
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  /** Resolves at the end of the recording, or when stopped. */
  async play(signal: AbortSignal): Promise<void> {
    let from: Millis = 0;
    while (!(await this.#playFrom(from, signal))) {
      from = Math.max(0, this.#at + this.#seek);
      this.#seek = 0;
      // What comes before is shown anew at once, on an empty screen.
      await this.#write(Buffer.from("\u001bc"));
    }
  }

  /** False when somebody wants another place. */
  async #playFrom(from: Millis, signal: AbortSignal): Promise<boolean> {
    this.#at = from;
    for await (const frame of this.#recording.frames(from)) {
      await this.#wait(frame.delayMs, signal);
      if (this.#stopped || signal.aborted) return true;
      if (this.#seek !== 0) return false;
      this.#at = Math.max(this.#at, frame.at);
      if (frame.type === "output") await this.#write(frame.data);
    }
    return true;
  }

  /** Waits for `ms` of the recording's time, at the speed of the moment. */
  async #wait(ms: Millis, signal: AbortSignal): Promise<void> {
    let left = ms;
    while ((left > 0 || this.#paused) && !this.#stopped && this.#seek === 0 && !signal.aborted) {
      const speed = this.#paused ? 0 : (speeds[this.#speed] as number);
      const started = this.#clock.now();
      const wake = AbortSignal.any([signal, this.#changed.signal]);
      await this.#clock.sleep(speed === 0 ? untilKey : left / speed, wake).catch(() => {});
      const passed = Math.min(left, (this.#clock.now() - started) * speed);
      left -= passed;
      this.#at += passed;
    }
  }
}

const untilKey: Millis = 60 * 60 * 1000;
