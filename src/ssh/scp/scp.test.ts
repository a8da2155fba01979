import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { formatAnnouncement, parseAnnouncement } from "./message.ts";
import { receive, type SinkFolder } from "./sink.ts";
import { type SourceEntry, send } from "./source.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

suite("what scp announces", () => {
  for (const [line, want] of [
    ["C0644 12 a b", { kind: "file", mode: 0o644, size: 12, name: bytes("a b") }],
    ["D2755 0 \xe4\xff", { kind: "directory", mode: 0o2755, name: bytes("\xe4\xff") }],
    ["T1234567890 0 1 0", { kind: "times", times: { modified: 1234567890, accessed: 1 } }],
    ["E", { kind: "up" }],
  ] as const) {
    test(`reads ${JSON.stringify(line)}`, () => {
      assert.deepEqual(normal(parseAnnouncement(bytes(line))), normal(want));
      assert.equal(Buffer.from(formatAnnouncement(want)).toString("latin1"), `${line}\n`);
    });
  }

  for (const line of [
    "C0644 1 ../x",
    "C0644 1 ..",
    "D0755 0 .",
    "C0644 1 a/b",
    "C0644 1 a\0b",
    "C0644 1 ",
    "C0644 -1 a",
    "C0644 99999999999999999 a",
    "C0999 1 a",
    "C644x 1 a",
    "X",
    "",
    "E ",
    "T1 0 2",
  ]) {
    test(`S56: refuses ${JSON.stringify(line)}`, () => {
      assert.throws(
        () => parseAnnouncement(bytes(line)),
        (err) => Fault.is(err, "protocol"),
      );
    });
  }

  test("a newline in a name does not end the line", () => {
    const line = formatAnnouncement({ kind: "file", mode: 0o600, size: 0, name: bytes("a\nE") });
    assert.equal(Buffer.from(line).toString(), "C0600 0 a\\^JE\n");
  });

  test("any line is an announcement that is written back alike, or a protocol fault", () => {
    const line = fc
      .tuple(fc.constantFrom("C", "D", "T", "E", "x"), fc.stringMatching(/^[0-7 ]{0,12}[ -~]{0,12}$/))
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(line, (text) => {
        try {
          const again = formatAnnouncement(parseAnnouncement(bytes(text)));
          assert.deepEqual(parseAnnouncement(again.subarray(0, -1)), parseAnnouncement(bytes(text)));
        } catch (err) {
          if (!Fault.is(err, "protocol")) throw err;
        }
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 500) },
    );
  });
});

suite("scp between two sides of ours", () => {
  test("a tree arrives as it was sent, whatever the pieces", async () => {
    const tree: SourceEntry[] = [
      file("a", "hello"),
      {
        kind: "directory",
        name: bytes("d"),
        mode: 0o700,
        entries: () => each([file("empty", ""), file("b", "x".repeat(9999))]),
      },
      { kind: "trouble", text: "gone" },
      file("last", "z"),
    ];
    for (const size of [1, 7, 65536]) {
      const got: string[] = [];
      const { source, sink } = pair(size);
      const sending = send(source, each(tree)).finally(() => source.end());
      const told = await receive(sink, memory(got, ""), { recursive: true });
      assert.deepEqual(await sending, ["gone"]);
      assert.deepEqual(told, ["scp: gone"]);
      assert.deepEqual(got, [
        "/a 644 5",
        "/d/ 700",
        "/d/empty 644 0",
        "/d/b 644 9999",
        "/d/ done",
        "/last 644 1",
      ]);
    }
  });

  test("a file that is refused does not stop the next", async () => {
    const got: string[] = [];
    const { source, sink } = pair(100);
    const sending = send(source, each([file("bad", "12345"), file("good", "1")])).finally(() => source.end());
    assert.deepEqual(await receive(sink, memory(got, "")), ["no bad files"]);
    assert.deepEqual(await sending, ["scp: no bad files"]);
    assert.deepEqual(got, ["/good 644 1"]);
  });

  test("a file that breaks off is told as incomplete, in its promised length", async () => {
    const got: string[] = [];
    const { source, sink } = pair(100);
    const sending = send(source, each([{ ...file("a", "123"), size: 10 } as SourceEntry])).finally(() =>
      source.end(),
    );
    assert.deepEqual(await receive(sink, memory(got, "")), [
      "scp: the file became shorter while it was read",
    ]);
    assert.ok((await sending).includes("the file became shorter while it was read"));
    assert.deepEqual(got, ["/a incomplete"]);
  });

  for (const [why, script] of [
    ["a folder that was not asked for", "D0755 0 d\n"],
    ["leaving the top", "E\n"],
    ["another language", "GET / HTTP/1.0\n"],
    ["an end inside a file", "C0644 10 a\n123"],
    ["an end inside a line", "C0644 10"],
    ["a line without end", "C".repeat(10_000)],
    ["a fatal word of the other side", "\x02no\n"],
  ] as const) {
    test(`S56: the receiving side gives up at ${why}`, async () => {
      const link = { input: each([bytes(script)]), write: async () => {} };
      await assert.rejects(receive(link, memory([], "")), (err) => Fault.is(err, "protocol"));
    });
  }
});

const normal = (value: object): unknown =>
  JSON.parse(JSON.stringify(value, (_, v) => (v instanceof Uint8Array ? Buffer.from(v).toString("hex") : v)));

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

const file = (name: string, content: string): Extract<SourceEntry, { kind: "file" }> => ({
  kind: "file",
  name: bytes(name),
  mode: 0o644,
  size: content.length,
  read: () => each(content === "" ? [] : [bytes(content)]),
  done() {},
});

function memory(got: string[], path: string): SinkFolder {
  return {
    async file(name, mode) {
      if (Buffer.from(name).toString() === "bad") throw new Error("no bad files");
      let length = 0;
      return {
        async write(chunk) {
          length += chunk.length;
        },
        async close(reason) {
          got.push(
            `${path}/${Buffer.from(name)} ${reason === undefined ? `${mode.toString(8)} ${length}` : "incomplete"}`,
          );
        },
      };
    },
    async directory(name, mode) {
      got.push(`${path}/${Buffer.from(name)}/ ${mode.toString(8)}`);
      return memory(got, `${path}/${Buffer.from(name)}`);
    },
    async done() {
      got.push(`${path}/ done`);
    },
  };
}

/** Two ends of a link that cuts everything into pieces of `size`. */
function pair(size: number) {
  const pipe = () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, {
      highWaterMark: 1e6,
    });
    const writer = writable.getWriter();
    return {
      input: readable,
      end: () => writer.close(),
      async write(chunk: Uint8Array) {
        for (let at = 0; at < chunk.length; at += size) void writer.write(chunk.slice(at, at + size));
      },
    };
  };
  const there = pipe();
  const back = pipe();
  return {
    source: { input: back.input, write: there.write, end: there.end },
    sink: { input: there.input, write: back.write },
  };
}
