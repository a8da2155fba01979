import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { suite, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { z } from "zod";
import { Fault } from "#core/errors";
import { Said } from "./said.ts";

const Word = z.strictObject({ word: z.string() });
const line = (word: string): string => `${JSON.stringify({ word })}\n`;

const allOf = async (said: Said): Promise<z.output<typeof Word>[]> => {
  const words: z.output<typeof Word>[] = [];
  await said.values(Word)((word) => words.push(word));
  return words;
};

suite("what is said to a feed", () => {
  test("is read line by line, wherever the network cut it", async () => {
    const all = Buffer.from(`{"first":1}\n${line("eins")}${line("zw\u00f6lf \u{1f511}")}${line("drei")}`);
    for (const size of [1, 2, 3, 7, all.length]) {
      const body = new PassThrough();
      const said = new Said(body);
      for (let at = 0; at < all.length; at += size) body.write(all.subarray(at, at + size));
      body.end('{"word":"no end of line"}');
      assert.deepEqual(await said.next(), { first: 1 });
      const words = (await allOf(said)).map(({ word }) => word);
      assert.deepEqual(words, ["eins", "zw\u00f6lf \u{1f511}", "drei"]);
    }
  });

  test("is refused when it is no JSON, no value of its kind, or a line without end", async () => {
    for (const [text, kind] of [
      ["{\n", "bad_parameter"],
      [`${JSON.stringify({ __proto__: 1, other: 1 })}\n`, "bad_parameter"],
      ["x".repeat(70_000), "limit_exceeded"],
      [`${"x".repeat(70_000)}\n`, "limit_exceeded"],
    ] as const) {
      const body = new PassThrough();
      const said = new Said(body);
      body.write(text);
      await assert.rejects(allOf(said), (err) => Fault.is(err, kind));
    }
  });

  test("waits with the speaker while nobody listens, and is whole then", async () => {
    const body = new PassThrough({ highWaterMark: 256 });
    const said = new Said(body);
    const count = 1000;
    let sent = 0;
    const speak = (async () => {
      for (; sent < count; sent++)
        if (!body.write(line(String(sent)))) await new Promise((go) => body.once("drain", go));
      body.end();
    })();
    for (let i = 0; i < 50; i++) await turn();
    assert.ok(sent < 200, `${sent} lines were taken in unheard`);
    const words = (await allOf(said)).map(({ word }) => Number(word));
    await speak;
    assert.deepEqual(
      words,
      Array.from({ length: count }, (_, i) => i),
    );
  });

  test("is told again when it is said again, and not when the listener failed", async () => {
    const body = new PassThrough();
    const said = new Said(body);
    const heard: string[] = [];
    const done = said.values(Word)(({ word }) => {
      heard.push(word);
      if (word === "last") throw new Fault("limit_exceeded", "enough");
    });
    body.write(line("same") + line("same") + line("other") + line("same") + line("last") + line("same"));
    await assert.rejects(done, /enough/);
    assert.deepEqual(heard, ["same", "same", "other", "same", "last"]);
  });

  test("ends with what broke it", async () => {
    const body = new PassThrough();
    const said = new Said(body);
    body.write(line("one"));
    await turn();
    body.destroy(new Error("reset"));
    assert.deepEqual(await said.next(), { word: "one" });
    await assert.rejects(said.next(), /reset/);
  });
});
