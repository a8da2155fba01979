import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Queue } from "#core/queue";
import { type Client, type Command, noRecorder, runCommand } from "./index.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const turns = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await turn();
};

function stage({ slow = false } = {}) {
  const clock = new TestClock();
  const exit = Promise.withResolvers<{ code: number } | { signal: string }>();
  const closed = Promise.withResolvers<void>();
  const input = new Queue<Uint8Array>();
  const [saw, saidErr, killed]: string[][] = [[], [], []];
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const command: Command = {
    stdin,
    stdout,
    stderr,
    exit: exit.promise,
    kill: (signal) => void killed?.push(signal),
  };
  let take: () => void = () => {};
  const client: Client = {
    [Symbol.asyncIterator]: () => input[Symbol.asyncIterator](),
    async write(chunk) {
      if (slow) await new Promise<void>((resolve) => (take = resolve));
      saw?.push(Buffer.from(chunk).toString());
    },
    writeStderr: async (chunk) => void saidErr?.push(Buffer.from(chunk).toString()),
    closed: closed.promise,
  };
  const over = runCommand(command, client, { recorder: noRecorder, clock });
  let result: unknown;
  void over.then((how) => (result = how));
  return {
    clock,
    exit,
    closed,
    input,
    saw,
    saidErr,
    killed,
    stdin,
    stdout,
    stderr,
    over,
    take: () => take(),
    result: () => result,
  };
}

suite("a command and its client", () => {
  test("input with its end, output and errors apart, and how it ended", async () => {
    const s = stage();
    s.input.push(Buffer.from("in"));
    s.input.end();
    s.stdout.end("out");
    s.stderr.end("err");
    s.exit.resolve({ code: 2 });
    assert.deepEqual(await s.over, { code: 2 });
    assert.deepEqual([s.saw, s.saidErr, s.killed], [["out"], ["err"], []]);
    assert.equal(String(s.stdin.read()), "in");
  });

  test("a slow client gets all, however long it takes", async () => {
    const s = stage({ slow: true });
    s.stdout.end("much");
    s.stderr.end();
    s.exit.resolve({ code: 0 });
    for (let i = 0; i < 20; i++) {
      await turns();
      await s.clock.advance(5 * second);
    }
    assert.equal(s.result(), undefined);
    s.take();
    assert.deepEqual(await s.over, { code: 0 });
    assert.deepEqual(s.saw, ["much"]);
  });

  test("a program left behind that keeps the output open holds nobody for more than 5 s of silence", async () => {
    const s = stage();
    s.exit.resolve({ code: 0 });
    await turns();
    s.stdout.write("a last word");
    await turns();
    await s.clock.advance(5 * second);
    await turns();
    assert.equal(s.result(), undefined);
    await s.clock.advance(5 * second);
    assert.deepEqual(await s.over, { code: 0 });
    assert.deepEqual(s.saw, ["a last word"]);
  });

  test("a client that leaves hangs the command up, and kills it 5 s later", async () => {
    const s = stage();
    s.closed.resolve();
    await turns();
    assert.deepEqual(s.killed, ["SIGHUP"]);
    await s.clock.advance(5 * second);
    assert.deepEqual(s.killed, ["SIGHUP", "SIGKILL"]);
    s.stdout.end();
    s.stderr.end();
    s.exit.resolve({ signal: "KILL" });
    assert.deepEqual(await s.over, { signal: "KILL" });
  });

  test("a command that no longer reads does not stop the client from sending", async () => {
    const s = stage();
    s.stdin.destroy(new Error("EPIPE"));
    for (let i = 0; i < 100; i++) s.input.push(new Uint8Array(100_000));
    s.input.end();
    await turns();
    assert.equal(s.input.size, 0);
    s.stdout.end();
    s.stderr.end();
    s.exit.resolve({ code: 0 });
    await s.over;
  });
});
