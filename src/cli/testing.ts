import { Readable, Writable } from "node:stream";
import type { Program } from "./command.ts";
import { report } from "./errors.ts";
import { type Machine, makeIo } from "./io.ts";
import { runProgram } from "./parse.ts";

/** Runs a line of a tool as the process would, with what the tool printed and its exit code. For tests. */
export async function runLine(
  program: Program,
  argv: readonly string[],
  { input = "", env = {}, machine = {}, signal = new AbortController().signal }: Partial<Setting> = {},
): Promise<{ code: number; out: string; err: string }> {
  const stdout = collector();
  const stderr = collector();
  const io = makeIo({
    stdin: Readable.from([Buffer.from(input)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env,
    machine: { uid: 1000, home: "/nonexistent", hostname: "testhost", user: "tester", ...machine },
    openTerminal: () => Promise.reject(new Error("a test has no terminal")),
  });
  const code = await runProgram(program, argv, io, signal).catch((err: unknown) => report(err, io, false));
  return { code, out: stdout.text(), err: stderr.text() };
}

/** A stream that keeps what is written to it. */
export function collector(): { stream: Writable; text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

interface Setting {
  readonly input: string;
  readonly env: Readonly<Record<string, string>>;
  readonly machine: Partial<Machine>;
  readonly signal: AbortSignal;
}
