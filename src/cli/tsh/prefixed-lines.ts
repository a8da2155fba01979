import { Writable } from "node:stream";
import { printable, printableLines } from "../text.ts";

/** A longer line is shown in several: no host may fill our memory with one. In bytes. */
const maxLine = 64 * 1024;
const newline = 0x0a;

/**
 * Output of one of several hosts: passes on whole lines behind the host's name. On a terminal a line may have colours and
 * nothing else that moves it, so that no host can write over another's lines; elsewhere its bytes are as they came.
 */
export class PrefixedLines extends Writable {
  readonly #to: Writable;
  readonly #prefix: string;
  readonly #isTerminal: boolean;
  #begun: Buffer[] = [];
  #size = 0;

  constructor(to: Writable, name: string, isTerminal: boolean) {
    super();
    this.#to = to;
    this.#prefix = `${printable(name)}: `;
    this.#isTerminal = isTerminal;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const lines: Buffer[] = [];
    for (let from = 0; from < chunk.length; ) {
      const end = chunk.indexOf(newline, from);
      const to = Math.min(end < 0 ? chunk.length : end, from + maxLine - this.#size);
      this.#begun.push(chunk.subarray(from, to));
      this.#size += to - from;
      const isWhole = end === to;
      if (isWhole || this.#size >= maxLine) lines.push(...this.#line());
      from = isWhole ? to + 1 : to;
    }
    // Copied: the chunk is its sender's again afterwards.
    this.#begun = this.#begun.map((part) => Buffer.from(part));
    this.#pass(lines, done);
  }

  override _final(done: () => void): void {
    this.#pass(this.#size > 0 ? this.#line() : [], done);
  }

  /** Shows what is left of a last line. */
  finish(): Promise<void> {
    return new Promise((resolve) => this.end(resolve));
  }

  /** As fast as the reader takes it; one that has gone is no reason to stop. */
  #pass(lines: readonly Buffer[], done: () => void): void {
    if (lines.length === 0 || this.#to.destroyed) done();
    else this.#to.write(Buffer.concat(lines), () => done());
  }

  #line(): Buffer[] {
    const line = Buffer.concat(this.#begun);
    this.#begun = [];
    this.#size = 0;
    return [
      Buffer.from(this.#prefix),
      this.#isTerminal ? Buffer.from(shown(line)) : line,
      Buffer.of(newline),
    ];
  }
}

/** A line as a terminal may show it: of text that was drawn over itself the last, with its colours. */
function shown(line: Buffer): string {
  const text = line.toString().replace(/\r+$/, "").replace(/^.*\r/s, "");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with a control character
  const parts = text.split(/(\u001b\[[\d;:]*m)/);
  const safe = parts.map((part, i) => (i % 2 === 1 ? part : printableLines(part))).join("");
  return parts.length > 1 ? `${safe}\u001b[0m` : safe;
}
