import assert from "node:assert/strict";
import { chmod, cp, mkdir, readdir, readFile, readlink, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { digestOf, packArchive } from "../../scripts/release/archive.ts";
import { installRelease } from "../../scripts/release/install.ts";
import { licencesOf } from "../../scripts/release/licences.ts";
import { Program } from "../support/program.ts";
import { mustRun, run } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** A release whose command says its version, runs until its input ends, and then says what lies beside it. */
async function release(folder: TempDir, version: string): Promise<string> {
  const root = folder.at(`unpacked-${version}`);
  for (const name of ["bin", "lib"]) await mkdir(join(root, name), { recursive: true });
  const head = `#!/bin/sh
self=$0
[ ! -L "$self" ] || self=$(readlink -f -- "$self")
root=$(CDPATH='' cd -P -- "\${self%/*}/.." && pwd)
`;
  for (const tool of ["teleport", "tctl", "tsh"])
    await writeFile(join(root, "bin", tool), `${head}exec "$root/lib/node" "$root/lib/${tool}" "$@"\n`);
  await cp("/bin/sh", join(root, "lib/node"), { dereference: true });
  const program = `here=$(CDPATH='' cd -P -- "\${0%/*}" && pwd)\necho "${version} $*"\nread line\ncat "$here/late"\n`;
  await writeFile(join(root, "lib/teleport"), program);
  await writeFile(join(root, "lib/late"), `late of ${version}\n`);
  await writeFile(join(root, "release.json"), JSON.stringify({ name: `v${version}` }));
  await writeFile(join(root, "teleport-v1.tar.gz"), "the archive of it all");
  for (const path of ["bin/teleport", "bin/tctl", "bin/tsh", "lib/node"])
    await chmod(join(root, path), 0o700);
  return root;
}

suite("installing a release", () => {
  test("commands in bin, the rest in lib/teleport; readable by all whatever the umask was", async () => {
    await using folder = await tempDir();
    const prefix = folder.at("it's a prefix");
    const done = await installRelease({ from: await release(folder, "1"), prefix });
    assert.deepEqual(done, {
      name: "v1",
      previous: undefined,
      commands: ["teleport", "tctl", "tsh"].map((tool) => join(prefix, "bin", tool)),
    });
    assert.equal(await readlink(join(prefix, "lib/teleport/current")), "v1");
    assert.deepEqual((await readdir(join(prefix, "lib/teleport/v1"))).sort(), ["bin", "lib", "release.json"]);
    const modes = await mustRun("find", [prefix, "-type", "f", "-printf", "%m %P\n"]);
    assert.match(modes, /^755 lib\/teleport\/v1\/lib\/node$/m);
    assert.match(modes, /^644 lib\/teleport\/v1\/lib\/late$/m);
    assert.doesNotMatch(modes, /^(?!755|644|$)/m);
    // Without a program that follows links: the shell alone.
    const { out } = await run(join(prefix, "bin/teleport"), ["start", "two words"], {
      env: { PATH: "/nonexistent" },
    });
    assert.match(out, /^1 start two words\n/);
  });

  test("a daemon that runs goes on from its own files after an upgrade, a new one runs the new version", async () => {
    await using folder = await tempDir();
    const prefix = folder.at("usr");
    await installRelease({ from: await release(folder, "1"), prefix });
    await using old = await Program.start(join(prefix, "bin/teleport"), []);
    await old.line(/^1 /);
    const second = await installRelease({ from: await release(folder, "2"), prefix });
    assert.equal(second.previous, "v1");
    assert.match(await mustRun(join(prefix, "bin/teleport"), [], { input: "\n" }), /^2 \nlate of 2/);
    // A third: the one of before stays, and so does the first, which runs.
    await installRelease({ from: await release(folder, "3"), prefix });
    const versions = async (): Promise<string[]> =>
      (await readdir(join(prefix, "lib/teleport"))).filter((name) => name.startsWith("v")).sort();
    assert.deepEqual(await versions(), ["v1", "v2", "v3"]);
    old.write("\n");
    await old.line(/late of 1/);
    await old.ended();
    await installRelease({ from: folder.at("unpacked-3"), prefix });
    assert.deepEqual(await versions(), ["v2", "v3"], "installed again, what was before it still is");
  });

  test("an installation that was cut off leaves nothing behind the next", async () => {
    await using folder = await tempDir();
    const versions = folder.at("usr/lib/teleport");
    await mkdir(join(versions, ".incoming-99999999/lib"), { recursive: true });
    await installRelease({ from: await release(folder, "1"), prefix: folder.at("usr") });
    assert.deepEqual((await readdir(versions)).sort(), ["current", "previous", "v1"]);
  });

  test("below DESTDIR the commands know the place that they will have", async () => {
    await using folder = await tempDir();
    const image = folder.at("image");
    await installRelease({ from: await release(folder, "1"), prefix: "/opt/x", destdir: image });
    const launcher = await readFile(join(image, "opt/x/bin/tsh"), "utf8");
    assert.match(launcher, /^root='\/opt\/x\/lib\/teleport\/current'$/m);
    assert.doesNotMatch(launcher, /image|readlink/);
  });

  test("a folder that holds no release is refused, and so is a prefix that is no absolute path", async () => {
    await using folder = await tempDir();
    const from = await release(folder, "1");
    await assert.rejects(installRelease({ from, prefix: "usr" }), /PREFIX must be an absolute path/);
    await rm(join(from, "bin/tsh"));
    await writeFile(join(from, "bin/tsh"), "#!/bin/sh\nexec something else\n");
    await assert.rejects(
      installRelease({ from, prefix: folder.at("x") }),
      /not the launcher of this release/,
    );
    await writeFile(join(from, "release.json"), "{}");
    await assert.rejects(installRelease({ from, prefix: folder.at("x") }), /is no release/);
  });
});

suite("the archive of a release", () => {
  test("the same content makes the same bytes, whoever packs it and when", async () => {
    await using folder = await tempDir();
    const one = await release(folder, "1");
    const two = folder.at("copied later");
    await cp(one, two, { recursive: true });
    await chmod(join(two, "lib/late"), 0o600);
    await utimes(join(two, "lib/late"), 1, 1);
    const names = ["lib", "bin"];
    const pack = (from: string, file: string): Promise<string> =>
      packArchive({ folder: from, names, top: "top", file: folder.at(file), time: 1_700_000_000 });
    assert.equal(await pack(one, "one.tar.gz"), await pack(two, "two.tar.gz"));
    assert.equal(await digestOf(one, names), await digestOf(two, names));
    await mustRun("sha256sum", ["--check", "one.tar.gz.sha256"], { cwd: folder.path });
    const listed = await mustRun("tar", ["--numeric-owner", "-tvzf", folder.at("one.tar.gz")], {
      env: { TZ: "UTC" },
    });
    const lines = listed.trim().split("\n");
    for (const line of lines) assert.match(line, /^[d-]rw[x-]r-[x-]r-[x-] 0\/0 +\d+ 2023-11-14 22:13 top\//);
    const packed = lines.map((line) => line.split(" ").at(-1));
    assert.deepEqual(packed, [...packed].sort());
    await chmod(join(two, "lib/late"), 0o700);
    assert.notEqual(await digestOf(one, names), await digestOf(two, names));
  });

  test("it brings the licences of Node, of the packages that are bundled, and of those they need", () => {
    const text = licencesOf(join(import.meta.dirname, "../.."));
    for (const name of ["fastify", "zod", "avvio", "react-dom", "scheduler", "@lydell/node-pty"])
      assert.ok(text.includes(`\n${name} `), name);
    assert.ok(!text.includes("\nesbuild "));
    assert.match(text, /^Node\.js \d+/m);
  });
});
