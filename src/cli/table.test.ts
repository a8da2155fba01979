import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { anyText } from "../../test/support/text.ts";
import { asJson, asYaml } from "./format.ts";
import { table } from "./table.ts";
import { columns, cut, escaped, invisible, printable, printableLines } from "./text.ts";

suite("tables", () => {
  test("a header, dashes as wide as each column, padded rows (CLI-02)", () => {
    assert.deepEqual(
      table(
        ["User", "Allowed logins"],
        [
          ["joe", "root,joe"],
          ["alexander", ""],
        ],
      ),
      ["User      Allowed logins", "--------- --------------", "joe       root,joe", "alexander"],
    );
  });
  test("without a header only rows", () => {
    assert.deepEqual(
      table(
        [],
        [
          ["Cluster", "main"],
          ["CA pin", "x"],
        ],
      ),
      ["Cluster main", "CA pin  x"],
    );
  });
  test("an empty column without a name leaves nothing at the end of any line", () => {
    assert.deepEqual(table(["Name", ""], [["db", ""]]), ["Name", "----", "db"]);
  });
  test("wide and combining characters keep columns straight", () => {
    assert.deepEqual(
      table(
        ["A", "B"],
        [
          ["日本", "x"],
          ["e\u0301", "y"],
          ["👩‍👩‍👧", "z"],
        ],
      ),
      ["A    B", "---- -", "日本 x", "e\u0301    y", "👩‍👩‍👧   z"],
    );
    assert.equal(columns("한국"), 4);
  });
});

suite("text that is cut", () => {
  for (const [what, raw, shown] of [
    ["what fits stays", "a=1,b", "a=1,b"],
    ["the last place says that there was more", "a=1,b=2", "a=1,…"],
    ["two of UTF-16 are one character", "👋👋👋👋👋", "👋👋👋👋👋"],
    ["no character is cut in two", "👋👋👋👋👋👋", "👋👋👋👋…"],
  ] as const) {
    test(what, () => assert.equal(cut(raw, 5), shown));
  }
});

suite("S66: text of others on a terminal", () => {
  for (const [what, raw, shown] of [
    ["a title", "a\u001b]0;owned\u0007b", "ab"],
    ["a clipboard write", "a\u001b]52;c;ZWNobyBo\u001b\\b", "ab"],
    ["an 8-bit OSC", "a\u009d0;owned\u009cb", "ab"],
    ["colours and movement", "a\u001b[31mb\u001b[2Jc", "abc"],
    ["an 8-bit CSI", "a\u009b2Jb", "ab"],
    ["a status request", "a\u001bP$qm\u001b\\b", "ab"],
    ["an OSC that never ends", "a\u001b]0;owned", "a"],
    ["a line break in a cell", "a\r\nb", "ab"],
    ["text turned around", "a\u202egnp.exe", "agnp.exe"],
    ["a bare escape at the end", "a\u001b", "a"],
    ["words of any language", "Grüße 日本 👋", "Grüße 日本 👋"],
  ] as const) {
    test(`${what} is neutral`, () => assert.equal(printable(raw), shown));
  }
  test("of an identifier nothing is lost: control characters are written out", () => {
    assert.equal(escaped("env=\u001b[2J\u009b\u202e\n–ü"), "env=\\u001b[2J\\u009b\\u202e\\n–ü");
  });
  test("several lines stay several lines", () => {
    assert.equal(printableLines("a\u001b[1m\n\tb\u0007"), "a\n\tb");
  });
  test("nothing in any text drives a terminal, in a table, in JSON or in YAML, and the value stays whole", async () => {
    const { parseDocument } = await import("yaml");
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        const line = table([], [[text]]).join("");
        assert.equal(line.search(invisible), -1);
        for (const printed of [asJson({ text }), await asYaml([{ text }])]) {
          assert.equal(printed.replaceAll("\n", "").search(invisible), -1);
          assert.deepEqual(parseDocument(printed, { schema: "failsafe" }).toJS(), { text });
        }
      }),
    );
  });
  for (const text of ["\n", "a\n\n", " a", "\ta\n"]) {
    test(`YAML keeps ${JSON.stringify(text)}`, async () => {
      const { parseDocument } = await import("yaml");
      assert.deepEqual(parseDocument(await asYaml([{ text }])).toJS(), { text });
    });
  }
  test("YAML quotes what older readers take for something else", async () => {
    assert.equal(await asYaml([{ a: "on", b: "012" }, { c: true }]), 'a: "on"\nb: "012"\n---\nc: true');
  });
});
