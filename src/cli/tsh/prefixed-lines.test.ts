import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { collector } from "../testing.ts";
import { PrefixedLines } from "./prefixed-lines.ts";

async function lines(
  chunks: readonly (string | Uint8Array)[],
  isTerminal = false,
  name = "db",
): Promise<string> {
  const { stream, text } = collector();
  const made = new PrefixedLines(stream, name, isTerminal);
  for (const chunk of chunks) made.write(chunk);
  await made.finish();
  return text();
}

suite("lines behind their host's name", () => {
  for (const [given, want] of [
    ["", ""],
    ["a\nb\n", "db: a\ndb: b\n"],
    ["a\n\nb", "db: a\ndb: \ndb: b\n"],
    ["\n", "db: \n"],
  ] as const) {
    test(JSON.stringify(given), async () => assert.equal(await lines([given]), want));
  }
  test("whole, however they come", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: fc.constantFrom("a", "\n", "é") })), async (chunks) => {
        const all = chunks.join("");
        const want = all
          .replace(/\n$/, "")
          .split("\n")
          .map((line) => `db: ${line}\n`)
          .join("");
        assert.equal(await lines(chunks), all === "" ? "" : want);
      }),
    );
  });
  test("a buffer that its sender uses again does not change what was said", async () => {
    const { stream, text } = collector();
    const made = new PrefixedLines(stream, "db", false);
    const buffer = Buffer.from("one");
    await new Promise((resolve) => made.write(buffer, resolve));
    buffer.write("two");
    await made.finish();
    assert.equal(text(), "db: one\n");
  });
  test("S65: a line that never ends is cut, not kept", async () => {
    const text = await lines(Array.from({ length: 40 }, () => Buffer.alloc(5000, "x")));
    assert.deepEqual(
      text
        .trimEnd()
        .split("\n")
        .map((line) => line.length),
      [65_540, 65_540, 65_536 + 4, 3392 + 4],
    );
  });
  for (const [given, want, why] of [
    ["\u001b[31mred\u001b[0m", "\u001b[31mred\u001b[0m\u001b[0m", "colours stay, and end with the line"],
    ["\u001b[2J\u001b[1;1Hover\u0007", "over", "nothing moves the cursor"],
    ["\u001b]52;c;aGk=\u0007x\ty", "x\ty", "nor reaches the clipboard; tabs stay"],
    ["10%\r50%\r100%", "100%", "of a line that was drawn over itself the last"],
    ["dos\r", "dos", "a line end of the other kind"],
    ["db2: fake\u2028x", "db2: fakex", "no other line end counts as one"],
  ] as const) {
    test(`S66: on a terminal ${why}`, async () => {
      assert.equal(await lines([given], true), `db: ${want}\n`);
    });
  }
  test("S66: elsewhere bytes are as they came, and a name is never more than a name", async () => {
    assert.equal(await lines(["\u001b[2Jx\r\n"]), "db: \u001b[2Jx\r\n");
    assert.equal(await lines(["x"], true, "e\u001b]0;evil\u0007vil\n"), "evil: x\n");
  });
});
