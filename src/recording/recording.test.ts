import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { suite, test } from "node:test";
import fc from "fast-check";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { systemRandom } from "#core/random";
import { type AuditEvent, type Draft, stamp } from "#events";
import { type Frame, parseEvents, play, type RecordingEvent, RecordingWriter } from "./index.ts";

const start = Date.UTC(2026, 10, 22, 9);
const session = { user: "ada", login: "root", server_id: "n", sid: "8c9e6679-7425-40de-944b-e07fc1f90ae7" };
const eventAt = (ms: number, draft: Draft): AuditEvent =>
  stamp(draft, { clock: new TestClock(start + ms), random: systemRandom });
const bytes = (s: string): Uint8Array => Uint8Array.from(Buffer.from(s));

interface Files {
  bytes: Uint8Array;
  log: Uint8Array;
}
type Step = { at: number } & ({ output: Uint8Array } | { draft: Draft });

function record(steps: readonly Step[], writer = new RecordingWriter()): Files {
  const files: Files = { bytes: new Uint8Array(0), log: new Uint8Array(0) };
  for (const step of steps) {
    if ("output" in step) {
      const appended = writer.output(step.output, start + step.at);
      files.bytes = Buffer.concat([files.bytes, appended.bytes]);
      files.log = Buffer.concat([files.log, appended.log]);
    } else {
      files.log = Buffer.concat([files.log, writer.event(eventAt(step.at, step.draft)).log]);
    }
  }
  return files;
}

const events = async (log: Uint8Array): Promise<RecordingEvent[]> => Array.fromAsync(parseEvents([log]));

/** All frames up to the end or the first damage. */
async function replay(files: Files, from = 0): Promise<{ frames: Frame[]; error?: unknown }> {
  const frames: Frame[] = [];
  const read = async (offset: number, length: number) => files.bytes.subarray(offset, offset + length);
  try {
    for await (const frame of play(parseEvents([files.log]), read, { from })) frames.push(frame);
    return { frames };
  } catch (error) {
    return { frames, error };
  }
}

const shown = (frames: readonly Frame[]): string[] =>
  frames.map((f) =>
    f.type === "output"
      ? `${f.delayMs} ${Buffer.from(f.data).toString()}`
      : `${f.delayMs} ${f.columns}x${f.rows}`,
  );

const addrs = { "addr.remote": "10.0.0.9:1" };
const story: readonly Step[] = [
  { at: 0, draft: { code: "T2000I", ...session, ...addrs, size: "80:25" } },
  { at: 1500, output: bytes("$ ") },
  { at: 2000, output: bytes("ls\r\n") },
  { at: 2500, draft: { code: "T2002I", ...session, size: "120:40" } },
  { at: 4000, output: bytes("a b c\r\n") },
  { at: 5000, draft: { code: "T2004I", ...session } },
];

suite("recording", () => {
  test("a chunk of output is a line of the guide's form, and its bytes as they are", async () => {
    const { log, bytes: stream } = record(story);
    assert.equal(Buffer.from(stream).toString(), "$ ls\r\na b c\r\n");
    const lines = Buffer.from(log).toString().split("\n");
    assert.equal(
      lines[1],
      '{"time":"2026-11-22T09:00:01.500Z","event":"print","bytes":2,"ms":1500,"offset":0,"ei":1,"ci":0}',
    );
    assert.deepEqual(
      (await events(log)).map((e) => [e.event, e.ei, "ci" in e ? e.ci : "-"]),
      [
        ["session.start", 0, "-"],
        ["print", 1, 0],
        ["print", 2, 1],
        ["resize", 3, "-"],
        ["print", 4, 2],
        ["session.end", 5, "-"],
      ],
    );
  });

  test("the audit log is given the event with the same index", () => {
    const writer = new RecordingWriter();
    writer.output(bytes("x"), start);
    const { event, log } = writer.event(eventAt(5, { code: "T2003I", ...session }));
    assert.equal(event.ei, 1);
    assert.deepEqual(JSON.parse(Buffer.from(log).toString()), event);
  });

  test("plays back with the delays it had", async () => {
    const { frames } = await replay(record(story));
    assert.deepEqual(shown(frames), ["0 80x25", "1500 $ ", "500 ls\r\n", "500 120x40", "1500 a b c\r\n"]);
  });

  test("from a later time shows what came before at once", async () => {
    const { frames } = await replay(record(story), 3000);
    assert.deepEqual(shown(frames), ["0 80x25", "0 $ ", "0 ls\r\n", "0 120x40", "1000 a b c\r\n"]);
  });

  test("a clock that jumps back does not turn the session round", async () => {
    const { frames } = await replay(
      record([
        { at: 1000, output: bytes("a") },
        { at: 0, output: bytes("b") },
        { at: 500, draft: { code: "T2002I", ...session, size: "1:1" } },
        { at: 1700, output: bytes("c") },
      ]),
    );
    assert.deepEqual(shown(frames), ["0 a", "0 b", "0 1x1", "700 c"]);
  });

  test("a big chunk is written as several", async () => {
    const big = new Uint8Array(150_000).fill(65);
    const files = record([{ at: 0, output: big }]);
    const { frames } = await replay(files);
    assert.equal(frames.length, 3);
    assert.deepEqual(Buffer.from(files.bytes), Buffer.from(big));
  });

  test("no output is no line", () => {
    assert.deepEqual(record([{ at: 0, output: new Uint8Array(0) }]).log.length, 0);
  });

  test("beyond the limit there is a digest instead of bytes", async () => {
    const writer = new RecordingWriter({ limit: 5, rest: createHash("sha256") });
    const files = record(
      [
        { at: 0, output: bytes("abc") },
        { at: 1, output: bytes("defg") },
        { at: 2, output: bytes("hi") },
      ],
      writer,
    );
    assert.equal(Buffer.from(files.bytes).toString(), "abcde");
    assert.deepEqual(shown((await replay(files)).frames), ["0 abc", "1 de"]);
    assert.deepEqual(writer.end(), {
      bytes: 5,
      unrecorded: { bytes: 4, sha256: createHash("sha256").update("fghi").digest("hex") },
    });
  });

  test("at the limit exactly nothing is missing", () => {
    const writer = new RecordingWriter({ limit: 3, rest: createHash("sha256") });
    record([{ at: 0, output: bytes("abc") }], writer);
    assert.deepEqual(writer.end(), { bytes: 3 });
  });

  test("whatever was recorded comes back, in whatever pieces the log is read", async () => {
    const step = fc.record({ wait: fc.nat(5000), output: fc.uint8Array({ maxLength: 300 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 20 }),
        fc.integer({ min: 1, max: 200 }),
        async (steps, size) => {
          let at = 0;
          const timed: Step[] = [];
          for (const { wait, output } of steps) {
            at += wait;
            timed.push({ at, output });
          }
          const files = record(timed);
          const pieces: Uint8Array[] = [];
          for (let i = 0; i < files.log.length; i += size) pieces.push(files.log.subarray(i, i + size));
          const parsed = await Array.fromAsync(parseEvents(pieces));
          assert.deepEqual(parsed, await events(files.log));
          const { frames, error } = await replay(files);
          assert.equal(error, undefined);
          const data = frames.map((f) => (f.type === "output" ? f.data : new Uint8Array(0)));
          assert.deepEqual(Buffer.concat(data), Buffer.concat(steps.map((s) => s.output)));
        },
      ),
    );
  });
});

suite("S71: a damaged recording", () => {
  const whole = record(story);
  const isFault = (err: unknown): boolean => err === undefined || Fault.is(err, "protocol");

  test("cut anywhere plays what is there", async () => {
    const complete = shown((await replay(whole)).frames);
    for (let cut = 0; cut <= whole.log.length; cut++) {
      const { frames, error } = await replay({ ...whole, log: whole.log.subarray(0, cut) });
      assert.equal(error, undefined);
      assert.deepEqual(shown(frames), complete.slice(0, frames.length));
    }
  });

  test("whose bytes are cut off plays up to there and says so", async () => {
    const { frames, error } = await replay({ ...whole, bytes: whole.bytes.subarray(0, 8) });
    assert.deepEqual(shown(frames), ["0 80x25", "1500 $ ", "500 ls\r\n", "500 120x40"]);
    assert.ok(Fault.is(error, "protocol"));
    assert.match(error.message, /chunk 2 is cut off/);
  });

  test("with any byte changed plays or says what is wrong", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.log.length - 1), fc.nat(255), async (at, byte) => {
        const log = Uint8Array.from(whole.log);
        log[at] = byte;
        const { error } = await replay({ ...whole, log });
        assert.ok(isFault(error), String(error));
      }),
      { numRuns: 500 },
    );
  });

  test("of any bytes or any JSON plays or says what is wrong", async () => {
    const log = fc.oneof(
      fc.uint8Array({ maxLength: 500 }),
      fc.array(fc.json()).map((values) => bytes(`${values.join("\n")}\n`)),
    );
    await fc.assert(
      fc.asyncProperty(log, async (log) => {
        assert.ok(isFault((await replay({ bytes: whole.bytes, log })).error));
      }),
    );
  });

  const print = { event: "print", time: "2026-11-22T09:00:00Z", bytes: 2, ms: 0, offset: 0, ei: 0, ci: 0 };
  for (const [why, line] of [
    ["nested a million deep", `${"[".repeat(1e6)}`],
    ["nested deep in a field", `{"event":"print","time":${"[".repeat(400_000)}${"]".repeat(400_000)}}`],
    ["longer than any line", "x".repeat(2 ** 21)],
    ["a chunk at another offset", JSON.stringify({ ...print, offset: 1 })],
    ["a chunk before the start", JSON.stringify({ ...print, offset: -1 })],
    ["a chunk of a gigabyte", JSON.stringify({ ...print, bytes: 2 ** 30 })],
    ["a chunk of no number", JSON.stringify({ ...print, bytes: "2" })],
    ["a chunk at no time", JSON.stringify({ ...print, ms: -5 })],
    ["a field that should not be", JSON.stringify({ ...print, path: "../../x" })],
    [
      "bad UTF-8",
      `{"event":"user.delete","code":"T1003I","uid":"${session.sid}","time":"2026-11-22T09:00:00Z","namespace":"default","user":"\xff"}`,
    ],
  ] as const) {
    test(`with a line that is ${why} says so`, async () => {
      const log = Buffer.concat([Buffer.from(line, "latin1"), Buffer.from("\n")]);
      const { error } = await replay({ bytes: whole.bytes, log });
      assert.ok(Fault.is(error, "protocol"), String(error));
    });
  }

  test("that says it has a chunk of a gigabyte is not believed", async () => {
    const lie = { ...print, bytes: 2 ** 30 } as RecordingEvent;
    const read = (): never => assert.fail("a gigabyte was asked for");
    await assert.rejects(Array.fromAsync(play([lie], read)), (err) => Fault.is(err, "protocol"));
  });

  test("with a line that does not end is not read to its end", async () => {
    let read = 0;
    const endless = function* (): Generator<Uint8Array> {
      for (; read < 100; read++) yield new Uint8Array(64 * 1024).fill(0x20);
    };
    await assert.rejects(Array.fromAsync(parseEvents(endless())), (err) => Fault.is(err, "protocol"));
    assert.ok(read < 20);
  });
});
