import { basename } from "node:path";
import type { Clock, Millis } from "#core/clock";
import { columns, printable } from "../text.ts";

/** No eye follows more than this many pictures. */
const every: Millis = 100;

/** One line of a terminal that tells how far a copy is: name, share, amount, speed, and the time that is left. */
export class ProgressBar {
  readonly #write: (text: string) => void;
  readonly #width: () => number;
  readonly #clock: Clock;
  #name: string | undefined;
  #began: Millis = 0;
  #drawn: Millis = 0;

  constructor(write: (text: string) => void, width: () => number, clock: Clock) {
    this.#write = write;
    this.#width = width;
    this.#clock = clock;
  }

  /** A file's beginning or middle. */
  at({ name, done, size }: { readonly name: string; readonly done: number; readonly size: number }): void {
    const now = this.#clock.now();
    if (this.#name === undefined) {
      this.#name = name;
      this.#began = now;
    } else if (now - this.#drawn < every) return;
    this.#drawn = now;
    const speed = (done * 1000) / Math.max(1, now - this.#began);
    const left = speed > 0 ? `${clockText((size - done) / speed)} ETA` : "--:-- ETA";
    this.#draw(name, size === 0 ? 100 : Math.floor((done / size) * 100), done, speed, left);
  }

  /** A file's end, whole or not. */
  end({ path, len, whole }: { readonly path: string; readonly len: number; readonly whole: boolean }): void {
    const took = this.#name === undefined ? 0 : this.#clock.now() - this.#began;
    const speed = (len * 1000) / Math.max(1, took);
    // Why it is not whole is told where all troubles are.
    if (whole) this.#draw(basename(path), 100, len, speed, clockText(took / 1000));
    if (whole || this.#name !== undefined) this.#write("\n");
    this.#name = undefined;
  }

  #draw(name: string, percent: number, done: number, speed: number, time: string): void {
    const facts = `${String(percent).padStart(4)}% ${amount(done).padStart(9)} ${amount(speed).padStart(9)}/s ${time.padStart(9)}`;
    // The last column stays free: there a terminal would begin a new line.
    const room = Math.max(8, this.#width() - facts.length - 1);
    let shown = printable(name);
    if (columns(shown) > room) shown = cut(shown, room - 1);
    this.#write(`\r${shown}${" ".repeat(Math.max(0, room - columns(shown)))}${facts}`);
  }
}

function cut(text: string, room: number): string {
  let kept = "";
  for (const character of text) {
    if (columns(kept + character) > room) break;
    kept += character;
  }
  return `${kept}\u2026`;
}

function amount(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? Math.floor(value) : value.toFixed(1)} ${units[unit]}`;
}

function clockText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole > 359_999) return "--:--";
  const two = (n: number): string => String(n).padStart(2, "0");
  const [hours, rest] = [Math.floor(whole / 3600), whole % 3600];
  return `${hours > 0 ? `${hours}:` : ""}${two(Math.floor(rest / 60))}:${two(rest % 60)}`;
}
