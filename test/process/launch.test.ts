import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, suite, test } from "node:test";

const root = resolve(import.meta.dirname, "..", "..");
let folder: string;

/** Runs a program and tells all that came of it. */
const run = (
  file: string,
  args: string[],
  { cwd = folder, env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): Promise<{ code: number; out: string; err: string }> =>
  new Promise((done) => {
    execFile(file, args, { cwd, env: { ...process.env, HOME: folder, ...env } }, (err, out, text) =>
      done({ code: typeof err?.code === "number" ? err.code : 0, out, err: text }),
    );
  });

suite("the launchers", () => {
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "launch-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const tool of ["teleport", "tctl", "tsh"]) {
    test(`${tool} runs from any folder, by its name and through links`, async () => {
      const link = join(folder, `link to ${tool}`);
      symlinkSync(join(root, "bin", tool), join(folder, `${tool}-1`));
      symlinkSync(`${tool}-1`, link);
      const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
      const want = new RegExp(`^Teleport v${version} git:\\S+ node\\d+\\.\\d+\\.\\d+\\n$`);
      assert.match((await run(link, ["version"])).out, want);
      assert.match((await run("sh", [join("bin", tool), "version"], { cwd: root })).out, want);
    });
  }

  test("TSH-13: linked as ssh or scp, tsh is that command", async () => {
    for (const name of ["ssh", "scp"]) {
      symlinkSync(join(root, "bin", "tsh"), join(folder, name));
      const { out } = await run(join(folder, name), ["--no-such-flag"]);
      const { err } = await run(join(root, "bin", "tsh"), [name, "--no-such-flag"]);
      assert.deepEqual(await run(join(folder, name), ["--no-such-flag"]), { code: 2, out, err });
    }
  });

  test("without installed packages one line says what to do", async () => {
    const bare = join(folder, "bare");
    mkdirSync(join(bare, "src", "cli"), { recursive: true });
    cpSync(join(root, "bin"), join(bare, "bin"), { recursive: true });
    cpSync(join(root, "src", "cli", "launch.sh"), join(bare, "src", "cli", "launch.sh"));
    const got = await run(join(bare, "bin", "tsh"), ["version"]);
    assert.equal(got.code, 1);
    assert.match(got.err, /^error: .*make -C \S+ deps\n$/);
    // Without a Node of the project's own, the machine's one must be new enough.
    mkdirSync(join(bare, "node_modules"));
    mkdirSync(join(bare, "old"));
    writeFileSync(join(bare, "old", "node"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const old = await run(join(bare, "bin", "tsh"), ["version"], {
      env: { PATH: `${join(bare, "old")}:/usr/bin:/bin` },
    });
    assert.equal(old.code, 1);
    assert.match(old.err, /^error: tsh needs Node 24 or newer.*\n$/);
  });

  test("`version` loads none of the heavy packages, nor modules of the product", async () => {
    const hook = join(folder, "hook.mjs");
    const list = join(folder, "loaded");
    writeFileSync(
      hook,
      `import { registerHooks } from "node:module"; import { appendFileSync } from "node:fs";
       registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(list)}, url + "\\n"); return next(url, context); } });`,
    );
    for (const [tool, own] of [
      ["tsh", ["cli", "core"]],
      ["tctl", ["cli", "core"]],
      ["teleport", ["cli", "config", "core"]],
    ] as const) {
      const main = join(root, "src", "cli", tool, "main.js");
      assert.equal((await run(process.execPath, ["--import", hook, main, "version"])).code, 0);
      const loaded = readFileSync(list, "utf8").trim().split("\n");
      rmSync(list);
      const packages = new Set(
        loaded.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []),
      );
      assert.deepEqual([...packages], ["commander"], tool);
      const modules = new Set(loaded.flatMap((url) => /\/src\/(\w+)\//.exec(url)?.[1] ?? []));
      assert.deepEqual([...modules].sort(), own, tool);
    }
  });
});
