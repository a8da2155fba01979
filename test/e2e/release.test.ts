import assert from "node:assert/strict";
import { rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { mustRun, run } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { Terminal } from "../support/terminal.ts";
import { startCluster } from "./cluster.ts";
import { programsIn, quiet } from "./daemon.ts";

suite("a release", () => {
  test("runs the main job from wherever it is put, without the checkout", async () => {
    await using folder = await tempDir();
    const root = join(import.meta.dirname, "../..");
    await mustRun(process.execPath, [join(root, "scripts/build.ts"), folder.at("built")], {
      timeout: 120_000,
    });
    await rename(folder.at("built"), folder.at("moved here"));
    const programs = programsIn(folder.at("moved here", "bin"));
    for (const program of Object.values(programs)) {
      const { out } = await run(program, ["version"]);
      assert.match(out, /^Teleport v\d\S+ git:[0-9a-f]{12} node26\./);
    }
    await using cluster = await startCluster({ programs });
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    assert.match(await cluster.mustTsh(["ls"]), /^testnode /m);
    const command = await cluster.tsh(["ssh", "testnode", "echo it runs; exit 7"]);
    assert.deepEqual([command.code, command.out], [7, "it runs\n"], command.err);
    {
      // A terminal at the node takes the native library.
      await using shell = new Terminal(programs.tsh, ["ssh", "testnode"], {
        env: { ...quiet, HOME: cluster.home },
      });
      shell.type("echo one-$((40 + 2)); exit 3\r");
      await shell.sees(/one-42\r\n/);
      assert.equal(await shell.ended(), 3);
    }
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
});
