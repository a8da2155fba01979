import type { LocalTerminal } from "#client";
import type { Io } from "../io.ts";

/** The terminal that a session gets: the person's, or one that nobody looks at where there is none. */
export class SessionTerminal implements LocalTerminal {
  readonly name: string;
  readonly #io: Io;
  #restore: (() => void) | undefined;

  constructor(io: Io) {
    this.#io = io;
    this.name = io.env.TERM || "xterm";
  }

  /** Whether every key goes to the session: only then can there be escapes. */
  get isRaw(): boolean {
    return this.#restore !== undefined;
  }

  size(): { columns: number; rows: number } {
    return this.#io.terminal.size();
  }

  onResize(listener: () => void): () => void {
    return this.#io.terminal.onResize(listener);
  }

  raw(): () => void {
    if (!this.#io.terminal.stdin) return () => {};
    this.#restore = this.#io.terminal.raw();
    return () => {
      this.#restore?.();
      this.#restore = undefined;
    };
  }

  /** Shows text as it is, in whatever state the terminal is. */
  write(text: string): void {
    this.#io.stderr.write(text);
  }

  /** Shows lines to the person; a raw terminal would not go back to the beginning of the line by itself. */
  say(text: string): void {
    this.write(this.isRaw ? `\r${text.replaceAll("\n", "\r\n")}\r\n` : `${text}\n`);
  }

  /** Stops this program as control-Z does, with the terminal as the shell expects it. */
  suspend(): void {
    if (!this.isRaw) return;
    this.#restore?.();
    this.#io.terminal.suspend();
    this.#restore = this.#io.terminal.raw();
  }
}
