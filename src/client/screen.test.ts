import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { ScreenFilter } from "./screen.ts";

const pass = (...chunks: (string | Uint8Array)[]): string => {
  const filter = new ScreenFilter();
  return Buffer.concat(chunks.map((chunk) => filter.pass(Buffer.from(chunk)))).toString();
};

suite("S66: a recording on a terminal", () => {
  for (const [what, text] of [
    ["text, tabs and lines", "a\tb\r\nc\u0008"],
    ["letters beyond ASCII", "käse 日本 🦀"],
    ["colours", "\u001b[1;38;5;196mred\u001b[0m"],
    ["cursor and erase", "\u001b[2J\u001b[10;20H\u001b[K\u001b[?25l"],
    ["the other screen", "\u001b[?1049hvim\u001b[?1049l"],
    ["scroll regions and saved cursors", "\u001b[1;24r\u001b7\u001b8\u001bM"],
    ["line drawing", "\u001b(0lqk\u001b(B"],
    ["shape of the cursor", "\u001b[2 q"],
  ] as const) {
    test(`shows ${what}`, () => assert.equal(pass(text), text));
  }
  for (const [what, text] of [
    ["clipboard (OSC 52)", "\u001b]52;c;aGk=\u0007"],
    ["title", "\u001b]0;evil\u001b\\"],
    ["links (OSC 8)", "\u001b]8;;http://evil\u0007"],
    ["colour queries", "\u001b]11;?\u0007"],
    ["DECRQSS", "\u001bP$qm\u001b\\"],
    ["device attributes", "\u001b[c\u001b[>c\u001b[0c\u001bZ"],
    ["device reports", "\u001b[6n\u001b[?6n\u001b[5n"],
    ["window reports", "\u001b[21t"],
    ["mode reports", "\u001b[?1$p\u001b[x"],
    ["terminal version", "\u001b[>q"],
    ["keyboard protocol queries", "\u001b[?u\u001b[>1u"],
    ["printer", "\u001b[5i"],
    ["mouse, focus and paste modes", "\u001b[?1000h\u001b[?1004h\u001b[?2004h"],
    ["ENQ", "\u0005"],
    ["C1 forms", "\u009b6n\u009d0;x\u009c"],
    ["APC, PM, SOS", "\u001b_x\u001b\\\u001b^y\u001b\\\u001bXz\u001b\\"],
  ] as const) {
    test(`drops ${what}`, () => assert.equal(pass(text).replace(/^(6n|0;x)+$/, ""), ""));
  }
  test("of several modes only those of the screen stay", () => {
    assert.equal(pass("\u001b[?1049;1000;25h"), "\u001b[?1049;25h");
  });
  test("a string that another sequence cuts off ends there", () => {
    assert.equal(pass("\u001b]0;x\u001b[1mbold"), "\u001b[1mbold");
  });
  test("the cut between chunks does not matter, and no query ever comes out", () => {
    const parts = fc.constantFrom(
      "a",
      "é",
      "\u001b",
      "[",
      "]",
      "P",
      "\\",
      "?",
      "6",
      ";",
      "n",
      "c",
      "h",
      "$",
      "q",
      "\u0007",
      "\u009b",
      "Z",
      "52",
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 30 }), fc.nat(40), (some, at) => {
        const bytes = Buffer.from(some.join(""));
        const whole = pass(bytes);
        assert.equal(pass(bytes.subarray(0, at), bytes.subarray(at)), whole);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control sequences are what is looked for
        assert.doesNotMatch(whole, /\u001b\[[0-9;?>]*[nct]|\u001b[\]PZ]|[\u0080-\u009f\u0005]/);
      }),
      { numRuns: 2000 },
    );
  });
});
