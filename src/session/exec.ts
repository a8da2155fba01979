import type { Readable, Writable } from "node:stream";
import { type Clock, type Millis, second } from "#core/clock";
import { drained, pump } from "./drain.ts";
import type { Recorder } from "./recorder.ts";
import type { Exit } from "./session.ts";

/** A command that talks over pipes. */
export interface Command {
  readonly stdin: Writable;
  /** A chunk may be gone when the next is asked for. */
  readonly stdout: AsyncIterable<Uint8Array> & { destroy(): void };
  readonly stderr: Readable;
  readonly exit: Promise<Exit>;
  kill(signal: "SIGHUP" | "SIGKILL"): void;
}

/** The client's side of it; a channel will do. */
export interface Client extends AsyncIterable<Uint8Array> {
  write(chunk: Uint8Array): Promise<void>;
  writeStderr(chunk: Uint8Array): Promise<void>;
  readonly closed: Promise<void>;
}

/** Between a hang-up and the end by force. */
const grace: Millis = 5 * second;

/**
 * Joins a command and its client until the command has ended and its output is sent and recorded. A client that leaves
 * hangs the command up, and all that it started.
 */
export async function runCommand(
  command: Command,
  client: Client,
  { recorder, clock }: { recorder: Recorder; clock: Clock },
): Promise<Exit> {
  const ended = new AbortController();
  command.stdin.on("error", () => {});
  void feed(client, command.stdin);
  const pumps = [
    pump(command.stdout, recorder, (chunk) => client.write(chunk).catch(() => {})),
    pump(command.stderr, recorder, (chunk) => client.writeStderr(chunk).catch(() => {})),
  ];
  const hangUp = async (): Promise<void> => {
    if (ended.signal.aborted) return;
    command.kill("SIGHUP");
    await clock.sleep(grace, ended.signal).then(
      () => command.kill("SIGKILL"),
      () => {},
    );
  };
  void client.closed.then(hangUp);
  const exit = await command.exit;
  ended.abort();
  await drained(pumps, clock);
  for (const stream of [command.stdin, command.stdout, command.stderr]) stream.destroy();
  await Promise.all(pumps.map((p) => p.done));
  return exit;
}

/** Input, at the command's pace. What it no longer reads is dropped, so that the client does not wait for ever. */
async function feed(client: Client, stdin: Writable): Promise<void> {
  try {
    for await (const chunk of client) {
      if (!stdin.destroyed) await new Promise<void>((resolve) => stdin.write(chunk, () => resolve()));
    }
    stdin.end();
  } catch {
    stdin.destroy();
  }
}
