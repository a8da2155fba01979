import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { makeIo } from "./io.ts";
import { collector } from "./testing.ts";

const never = new AbortController().signal;

function ioWith(stdin: Readable & { isTTY?: boolean }, keys: Uint8Array[] = []) {
  const shown: string[] = [];
  const stderr = collector();
  let closed = false;
  async function* typed(): AsyncGenerator<Uint8Array> {
    for (const key of keys) {
      await new Promise((resolve) => setImmediate(resolve));
      if (closed) throw new Error("the terminal was given back before the answer was read");
      yield key;
    }
  }
  const io = makeIo({
    stdin,
    stdout: new PassThrough(),
    stderr: stderr.stream,
    env: {},
    machine: { uid: 0, home: "/", hostname: "h", user: "u" },
    openTerminal: async () => ({
      write: (text) => void shown.push(text),
      keys: typed(),
      async [Symbol.asyncDispose]() {
        closed = true;
      },
    }),
  });
  return { io, shown, prompts: () => stderr.text(), isClosed: () => closed };
}
const terminal = (): Readable & { isTTY: boolean } => Object.assign(Readable.from([]), { isTTY: true });

suite("questions", () => {
  test("answers are lines of a pipe, one after another, the rest stays", async () => {
    const { io, prompts } = ioWith(
      Readable.from([Buffer.from("joe\r\nsec"), Buffer.from("ret\n12"), Buffer.from("3\nmore")]),
    );
    assert.equal(await io.ask("User?", never), "joe");
    assert.equal(await io.askSecret("Password:", never), "secret");
    assert.equal(await io.askSecret("Code:", never), "123");
    assert.equal(Buffer.from(await io.readAll(never)).toString(), "more");
    assert.equal(prompts(), "User? Password: Code: ");
  });
  test("a last line needs no newline", async () => {
    const { io } = ioWith(Readable.from([Buffer.from("joe")]));
    assert.equal(await io.ask("User?", never), "joe");
    await assert.rejects(io.ask("More?", never), (err) => Fault.is(err, "unreachable"));
  });
  test("an abort ends the wait for an answer", async () => {
    const { io } = ioWith(new PassThrough());
    const stop = new AbortController();
    const asked = io.ask("User?", stop.signal);
    stop.abort(new Error("enough"));
    await assert.rejects(asked, /enough/);
  });
  for (const [what, typed, answer] of [
    ["Enter ends it", "secret\r", "secret"],
    ["backspace takes a whole character", "passé\u007fe\r", "passe"],
    ["control-U takes the line", "wrong\u0015right\n", "right"],
  ] as const) {
    test(`on a terminal ${what} and nothing typed is shown`, async () => {
      const { io, shown, isClosed } = ioWith(terminal(), [Buffer.from(typed)]);
      assert.equal(await io.askSecret("Password:", never), answer);
      assert.deepEqual(shown, ["Password: ", "\r\n"]);
      assert.equal(isClosed(), true);
    });
  }
  test("an abort ends the wait for a secret and leaves the terminal as it was", async () => {
    const stop = new AbortController();
    const keys = new PassThrough();
    let closed = false;
    const io = makeIo({
      stdin: terminal(),
      stdout: new PassThrough(),
      stderr: new PassThrough(),
      env: {},
      machine: { uid: 0, home: "/", hostname: "h", user: "u" },
      openTerminal: async () => ({
        write: () => {},
        keys,
        async [Symbol.asyncDispose]() {
          closed = true;
        },
      }),
    });
    const asked = io.askSecret("Password:", stop.signal);
    setImmediate(() => stop.abort(new Error("enough")));
    await assert.rejects(asked, /enough/);
    assert.equal(closed, true);
  });
  for (const [name, key] of [
    ["control-C", "ab\u0003"],
    ["control-D", "\u0004"],
  ] as const) {
    test(`${name} gives up and leaves the terminal as it was`, async () => {
      const { io, isClosed } = ioWith(terminal(), [Buffer.from(key)]);
      await assert.rejects(io.askSecret("Password:", never), (err) => Fault.is(err, "unreachable"));
      assert.equal(isClosed(), true);
    });
  }
});
