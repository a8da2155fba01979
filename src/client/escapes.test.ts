import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { EscapeReader, parseEscape, type Typed, withoutEscapes } from "./escapes.ts";

const tilde = 0x7e;

/** All that came of keys, in order: data as text, neighbouring data joined, the rest as `<what>`. */
function typed(pieces: readonly (string | Uint8Array)[], reader = new EscapeReader(tilde)): string {
  const show = (one: Typed): string => {
    if (one.kind === "data") return Buffer.from(one.bytes).toString("latin1");
    if (one.kind === "escape") return `<${one.key}>`;
    return one.kind === "command" ? `<run ${one.line}>` : "";
  };
  return pieces
    .flatMap((piece) => reader.take(typeof piece === "string" ? Buffer.from(piece) : piece))
    .map(show)
    .join("");
}

suite("escapes", () => {
  for (const [keys, want, why] of [
    ["~.", "<.>", "at the very beginning"],
    ["ls\r~.", "ls\r<.>", "after Enter"],
    ["ls\n~?x", "ls\n<?>x", "after a line feed"],
    ["ls ~.", "ls ~.", "not within a line"],
    ["~~.", "~.", "typed twice it is itself, and the line has begun"],
    ["\r~~~.", "\r~~.", "only the first of the line counts"],
    ["~x~.", "~x~.", "before a key that means nothing both are passed on"],
    ["~\r~.", "~\r<.>", "also before Enter, after which a line begins"],
    ["~?~#~.", "<?><#><.>", "one after the other, the line has not begun"],
    ["~\u001a", "<^Z>", "control-Z"],
    ["~B~R~x", "<B><R>~x", "a break and new keys"],
    ["~^Z", "~^Z", "which is not a caret and a Z"],
    ["~C-L 1:a:2\r~.", "<C><run -L 1:a:2><.>", "a command line"],
    ["~C-Lx\b\u007fR 1\r", "<C><run -R 1>", "which can be edited"],
    ["~Cwrong\u0015-D 1\r", "<C><run -D 1>", "and begun anew"],
    ["~C-D\u0003x", "<C><run >x", "and given up"],
  ] as const) {
    test(`${JSON.stringify(keys)} is ${JSON.stringify(want)}: ${why}`, () => {
      assert.equal(typed([keys]), want);
      assert.equal(typed([...keys]), want, "key by key");
    });
  }

  const keys = fc.array(fc.constantFrom("~", "\r", "\n", ".", "?", "#", "C", "x", "\u001a", "\u007f"));
  test("the same however the keys come", () => {
    fc.assert(
      fc.property(keys, fc.array(fc.nat({ max: 5 })), (some, cuts) => {
        const all = some.join("");
        const pieces: string[] = [];
        let at = 0;
        for (const cut of cuts) {
          pieces.push(all.slice(at, at + cut));
          at += cut;
        }
        pieces.push(all.slice(at));
        assert.equal(typed(pieces), typed([all]));
      }),
    );
  });
  test("text without the escape character passes as it is, byte for byte", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (chunks) => {
        const clean = chunks.map((chunk) => chunk.filter((byte) => byte !== tilde));
        assert.equal(typed(clean), Buffer.concat(clean).toString("latin1"));
      }),
    );
  });
  test("what a program at the other end wants to get can always be typed: each escape character twice", () => {
    fc.assert(
      fc.property(keys, (some) => {
        const text = some.join("");
        const doubled = text.replaceAll(/(^|[\r\n])~/g, "$1~~");
        assert.equal(typed([doubled]), text);
      }),
    );
  });
  test("the command line is shown as it is typed, and a screen cannot be driven by it", () => {
    const reader = new EscapeReader(tilde);
    const echoed = reader
      .take(Buffer.from("~Ca\u001b[2Jb\u007f\r"))
      .map((one) => (one.kind === "echo" ? one.text : ""))
      .join("");
    assert.equal(echoed, "\r\nssh> a[2Jb\b \b\r\n");
  });
  test("what is typed after an escape waits until that is done", async () => {
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const input = (async function* () {
      yield Buffer.from("~?after");
    })();
    const reading = (async () => {
      for await (const some of withoutEscapes(input, new EscapeReader(tilde), async () => {
        await gate.promise;
        order.push("done");
      }))
        order.push(Buffer.from(some).toString());
    })();
    await new Promise(setImmediate);
    gate.resolve();
    await reading;
    assert.deepEqual(order, ["done", "after"]);
  });
  for (const [text, want] of [
    ["none", "none"],
    ["%", 0x25],
    ["^]", 0x1d],
    ["^b", 2],
    ["", undefined],
    ["ab", undefined],
    ["\u001b", undefined],
    ["^", 0x5e],
  ] as const) {
    test(`the escape character ${JSON.stringify(text)} is ${want}`, () =>
      assert.equal(parseEscape(text), want));
  }
});
