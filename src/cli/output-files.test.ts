import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { Fault } from "#core/errors";
import type { Io } from "./io.ts";
import { clearOutputs, writeOutputs } from "./output-files.ts";

suite("files that commands write", () => {
  let folder: string;
  let path: string;
  const { signal } = new AbortController();
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "outputs-"));
    path = join(folder, "out");
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Somebody at a terminal who answers; what was asked. */
  const person = (answer: string) => {
    const asked: string[] = [];
    const ask = async (question: string): Promise<string> => {
      asked.push(question);
      return answer;
    };
    return { io: { terminal: { stdin: true }, ask } as unknown as Io, asked };
  };

  test("nobody is asked about a path where there is nothing", async () => {
    const { io, asked } = person("no");
    await clearOutputs({ io, signal }, [path], false);
    assert.deepEqual(asked, []);
  });

  for (const [answer, goesOn] of [
    ["yes", true],
    ["YES ", true],
    ["y", false],
    ["no", false],
    ["", false],
  ] as const) {
    test(`to replace a file the person has to say yes: ${JSON.stringify(answer)}`, async () => {
      await writeFile(path, "mine");
      const { io, asked } = person(answer);
      const cleared = clearOutputs({ io, signal }, [path], false);
      if (goesOn) await cleared;
      else await assert.rejects(cleared, (err) => Fault.is(err, "already_exists"));
      assert.deepEqual(asked, [`${path} is there already. Replace it (yes/no)?`]);
      assert.equal(await readFile(path, "utf8"), "mine");
    });
  }

  test("nobody is asked when it was said before", async () => {
    await writeFile(path, "mine");
    const { io, asked } = person("no");
    await clearOutputs({ io, signal }, [path], true);
    assert.deepEqual(asked, []);
  });

  test("what is written only its owner can read, also where others could read what was there", async () => {
    await writeFile(path, "mine", { mode: 0o644 });
    await writeOutputs([{ path, text: "new" }]);
    assert.equal(await readFile(path, "utf8"), "new");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });
});
