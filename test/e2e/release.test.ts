import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { findProgram, noMounts, skipUnless } from "../support/installed.ts";
import { mustRun, run } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { type Programs, programsIn, quiet } from "./daemon.ts";

/** The archive that `make build` makes, unpacked. */
async function unpacked(folder: TempDir): Promise<string> {
  const root = join(import.meta.dirname, "../..");
  const built = folder.at("built");
  for (const script of ["build.ts", "release.ts"])
    await mustRun(process.execPath, [join(root, "scripts", script), built], { timeout: 120_000 });
  const archive = (await readdir(built)).find((name) => name.endsWith(".tar.gz")) ?? "";
  assert.match(archive, /^teleport-v\d[\w.-]*-linux-(x64|arm64)\.tar\.gz$/);
  await mustRun("sha256sum", ["--check", `${archive}.sha256`], { cwd: built });
  await mustRun("tar", ["-xzf", join(built, archive), "-C", folder.path]);
  await rm(built, { recursive: true });
  return folder.at(archive.replace(".tar.gz", ""));
}

suite("a release", () => {
  let folder: TempDir;
  let release: string;
  before(async () => {
    folder = await tempDir();
    release = await unpacked(folder);
  });
  after(() => folder[Symbol.asyncDispose]());

  test("runs the main job from wherever it is put, without the checkout", async () => {
    await symlink(release, folder.at("moved here"));
    const programs = programsIn(folder.at("moved here", "bin"));
    for (const program of Object.values(programs)) {
      const { out } = await run(program, ["version"]);
      assert.match(out, /^Teleport v\d\S+ git:[0-9a-f]{12} node26\./);
    }
    assert.match(await readFile(join(release, "systemd/teleport.service"), "utf8"), /^ExecStart=/m);
    await using cluster = await mainJob(programs);
    await cluster.mustTsh(["scp", programs.tsh, `testnode:${folder.at("copied")}`]);
    await symlink(programs.tsh, folder.at("ssh"));
    const env = { ...quiet, HOME: cluster.home };
    assert.equal(await mustRun(folder.at("ssh"), ["testnode", "echo as ssh"], { env }), "as ssh\n");
    await writeFile(folder.at("config"), await cluster.mustTsh(["config", `--port=${cluster.ports.node}`]));
    if (!skipUnless("ssh", "ssh-add")) {
      const ssh = ["-F", folder.at("config"), "-o", "BatchMode=yes", "testnode.main", "echo by config"];
      assert.equal(await mustRun("ssh", ssh, { env }), "by config\n");
      const script = 'eval "$("$TSH" agent)" > /dev/null; ssh-add -l; "$TSH" agent stop > /dev/null';
      const held = await mustRun("sh", ["-c", script], {
        env: { ...env, SHELL: "/bin/sh", TSH: programs.tsh },
      });
      assert.match(held, /^256 SHA256:\S+ teleport:joe \(ED25519-CERT\)$/m);
    }
    const page = await cluster.web("/web/login");
    assert.equal(page.status, 200);
    const script = /src="(\/web\/app\/[^"]+\.js)"/.exec(page.text)?.[1] ?? "";
    assert.equal((await cluster.web(script)).status, 200, page.text);
  });

  test("its installer makes the commands run the main job with no program of the machine in reach", async () => {
    const prefix = folder.at("usr local");
    const out = await mustRun(join(release, "install"), [`PREFIX=${prefix}`], {
      env: { PATH: "/nonexistent" },
    });
    const { name } = JSON.parse(await readFile(join(release, "release.json"), "utf8")) as { name: string };
    assert.equal(
      out,
      `${name} is installed: ${["teleport", "tctl", "tsh"].map((tool) => join(prefix, "bin", tool)).join(", ")}\n`,
    );
    await using _ = await mainJob(
      await wrapped(folder.at("alone"), prefix, (command) => `PATH=/nonexistent exec ${command}`),
    );
  });

  test("it runs in a file system with the few libraries and programs that it is said to need", {
    skip: noMounts(),
  }, async () => {
    const root = folder.at("root");
    await emptyRoot(root, join(release, "lib/node"));
    await mustRun(join(release, "install"), [`DESTDIR=${root}`]);
    const inside = (command: string): string => `exec unshare --mount sh -c '
set -e
root=$0
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind /tmp "$root/tmp"
exec chroot "$root" "$@"' '${root}' ${command}`;
    await using _ = await mainJob(await wrapped(folder.at("inside"), "/usr/local", inside));
  });
});

/** Scripts that run the commands of `prefix/bin` as `how` says. */
async function wrapped(folder: string, prefix: string, how: (command: string) => string): Promise<Programs> {
  await mkdir(folder);
  const programs = programsIn(folder);
  for (const path of Object.values(programs)) {
    const command = how(`'${join(prefix, "bin", basename(path))}' "$@"`);
    await writeFile(path, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
  }
  return programs;
}

/** What docs/installing.md says that a machine must have: some libraries, a shell, and what a node looks logins up with. */
async function emptyRoot(root: string, node: string): Promise<void> {
  for (const name of ["bin", "dev", "proc", "tmp", "etc", "root"])
    await mkdir(join(root, name), { recursive: true });
  const programs = ["sh", "getent", "id", "mkfifo"].map((name) => findProgram(name) ?? "");
  const linked = await mustRun("ldd", [...programs, node]);
  const libraries = [...linked.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map(([, path = ""]) => path);
  for (const path of new Set(libraries)) {
    await mkdir(join(root, dirname(path)), { recursive: true });
    await copyFile(path, join(root, path));
  }
  for (const path of programs) await copyFile(path, join(root, "bin", basename(path)));
  await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\n");
}

/** Start, an account, a login, a command and a terminal, which takes the native library, at the node. */
async function mainJob(programs: Programs): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await startCluster({ programs }));
  await cluster.makeUser("joe");
  await cluster.logIn("joe");
  assert.match(await cluster.mustTsh(["ls"]), /^testnode /m);
  const command = await cluster.tsh(["ssh", "testnode", "echo it runs; exit 7"]);
  assert.deepEqual([command.code, command.out], [7, "it runs\n"], command.err);
  await using shell = new Terminal(programs.tsh, ["ssh", "testnode"], {
    env: { ...quiet, HOME: cluster.home },
  });
  shell.type("echo one-$((40 + 2)); exit 3\r");
  await shell.sees(/one-42\r+\n/); // without stty, two
  assert.equal(await shell.ended(), 3);
  stack.move();
  return cluster;
}
