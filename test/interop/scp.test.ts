import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";

const missing = spawnSync("scp", ["-O"]).error !== undefined;

suite("scp of OpenSSH against ours", {
  timeout: 60_000,
  skip: missing && "there is no scp on this machine",
}, () => {
  const dir = mkdtempSync(join(tmpdir(), "scp-"));
  const [here, there] = [join(dir, "here"), join(dir, "there")];
  for (const d of [here, there]) mkdirSync(d);
  after(() => rmSync(dir, { recursive: true }));

  // Stands for the connection: drops ssh's own arguments, lets a shell read the command as the far side does.
  const ssh = join(dir, "ssh");
  const serve = join(dir, "serve.mjs");
  writeFileSync(
    ssh,
    `#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\ncd ${there}\neval "set -- $*"\nshift\nexec ${process.execPath} --no-warnings ${serve} "$@"\n`,
    { mode: 0o755 },
  );
  writeFileSync(
    serve,
    `import { appendFileSync } from "node:fs";
     const { serveScp } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/helper/scp.ts"))});
     const args = process.argv.slice(2).map((arg) => Buffer.from(arg).toString("latin1"));
     process.exit(await serveScp(args, (r) => appendFileSync(${JSON.stringify(join(dir, "reports"))}, JSON.stringify(r) + "\\n")));`,
  );
  const scp = (...args: string[]): Promise<{ code: number; text: string }> =>
    new Promise((resolve) =>
      execFile("scp", ["-O", "-S", ssh, ...args], { cwd: here }, (err, _out, text) =>
        resolve({ code: typeof err?.code === "number" ? err.code : 0, text }),
      ),
    );
  const reports = (): unknown[] => {
    const text = readFileSync(join(dir, "reports"), "utf8");
    rmSync(join(dir, "reports"));
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
  };

  test("a file up and down, and the report of it", async () => {
    const content = Buffer.alloc(1_000_003, "0123456789ab");
    writeFileSync(join(here, "a"), content, { mode: 0o640 });
    assert.deepEqual(await scp("a", "h:b"), { code: 0, text: "" });
    assert.deepEqual(readFileSync(join(there, "b")), content);
    assert.equal(statSync(join(there, "b")).mode & 0o777, 0o640);
    assert.deepEqual(await scp("h:b", "c"), { code: 0, text: "" });
    assert.deepEqual(readFileSync(join(here, "c")), content);
    assert.deepEqual(reports(), [
      { action: "write", path: join(there, "b"), len: 1_000_003, error: "" },
      { action: "read", path: join(there, "b"), len: 1_000_003, error: "" },
    ]);
  });

  test("a shorter file replaces a longer one", async () => {
    writeFileSync(join(here, "s"), "short");
    writeFileSync(join(there, "s"), "a long old text");
    assert.equal((await scp("s", "h:s")).code, 0);
    assert.equal(readFileSync(join(there, "s"), "utf8"), "short");
  });

  test("a tree with -r -p both ways: modes, times, empty files and folders, links followed", async () => {
    const tree = join(here, "tree");
    mkdirSync(join(tree, "sub/empty"), { recursive: true });
    writeFileSync(join(tree, "sub/run"), "#!/bin/sh\n");
    chmodSync(join(tree, "sub/run"), 0o4755);
    writeFileSync(join(tree, "nothing"), "");
    symlinkSync("sub/run", join(tree, "link"));
    utimesSync(join(tree, "sub/run"), 1e9, 1.1e9);
    chmodSync(join(tree, "sub"), 0o555);
    utimesSync(join(tree, "sub"), 1e9, 1.2e9);
    assert.deepEqual(await scp("-r", "-p", "tree", "h:"), { code: 0, text: "" });
    assert.deepEqual(await scp("-r", "-p", "h:tree", "back"), { code: 0, text: "" });
    for (const copy of [join(there, "tree"), join(here, "back")]) {
      assert.deepEqual(readdirSync(copy).sort(), ["link", "nothing", "sub"]);
      const run = statSync(join(copy, "sub/run"));
      assert.deepEqual([run.mode & 0o7777, run.mtimeMs / 1000], [0o4755, 1.1e9]);
      const sub = statSync(join(copy, "sub"));
      assert.deepEqual([sub.mode & 0o777, sub.mtimeMs / 1000], [0o555, 1.2e9]);
      assert.ok(statSync(join(copy, "sub/empty")).isDirectory());
      assert.equal(readFileSync(join(copy, "link"), "utf8"), "#!/bin/sh\n");
      chmodSync(join(copy, "sub"), 0o755);
    }
    chmodSync(join(tree, "sub"), 0o755);
  });

  test("without -p no set-user-id bit is made", async () => {
    writeFileSync(join(here, "suid"), "");
    chmodSync(join(here, "suid"), 0o4777);
    assert.equal((await scp("suid", "h:suid")).code, 0);
    assert.equal(statSync(join(there, "suid")).mode & 0o7000, 0);
  });

  for (const name of [
    "ünï ☃",
    "-dash",
    "semi;colon",
    "quo'te",
    "two\nlines",
    "$(touch gone)",
    "*",
    "back\\slash",
  ]) {
    test(`S56: the name ${JSON.stringify(name)} arrives as it is`, async () => {
      const folder = join(here, "names");
      mkdirSync(folder);
      mkdirSync(join(there, "names"));
      writeFileSync(join(folder, name), name);
      assert.deepEqual(await scp("-r", "./names", "h:."), { code: 0, text: "" });
      // A newline cannot be carried by this protocol; OpenSSH writes it so.
      assert.deepEqual(readdirSync(join(there, "names")), [name.replace("\n", "\\^J")]);
      rmSync(folder, { recursive: true });
      assert.deepEqual(await scp("-r", "h:names", "."), { code: 0, text: "" });
      assert.deepEqual(readdirSync(folder), [name.replace("\n", "\\^J")]);
      for (const d of [folder, join(there, "names")]) rmSync(d, { recursive: true });
      assert.ok(!readdirSync(there).includes("gone"));
    });
  }

  test("what cannot be copied is told, the rest is copied", async () => {
    writeFileSync(join(there, "x1"), "1");
    mkdirSync(join(there, "x2"));
    const got = await scp("h:x*", ".");
    assert.equal(got.code, 1);
    assert.match(got.text, /x2: not a regular file/);
    assert.equal(readFileSync(join(here, "x1"), "utf8"), "1");
    const gone = await scp("h:nothing-here", ".");
    assert.equal(gone.code, 1);
    assert.match(gone.text, /nothing-here: no such file/);
  });

  test("several files need a folder", async () => {
    for (const name of ["m1", "m2"]) writeFileSync(join(here, name), name);
    const got = await scp("m1", "m2", "h:not-a-folder");
    assert.equal(got.code, 1);
    assert.match(got.text, /not-a-folder: Not a directory/);
    mkdirSync(join(there, "folder"));
    assert.equal((await scp("m1", "m2", "h:folder")).code, 0);
    assert.deepEqual(readdirSync(join(there, "folder")), ["m1", "m2"]);
  });
});
