import assert from "node:assert/strict";
import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { run } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { startCluster } from "./cluster.ts";
import { programs, programsIn, quiet } from "./daemon.ts";

suite("versions", () => {
  test("every command says its version, the commit and the runtime (CLI-03)", async () => {
    for (const program of Object.values(programs)) {
      const { code, out } = await run(program, ["version"]);
      assert.equal(code, 0);
      assert.match(out, /^Teleport v\d+\.\d+\.\d+\S* git:\S+ node\d+\.\d+\.\d+\n$/);
    }
  });

  test("ACC-87: tsh and tctl that are too old say so, and what is needed", async () => {
    await using folder = await tempDir();
    const root = join(import.meta.dirname, "../..");
    for (const name of ["src", "bin"]) await cp(join(root, name), folder.at(name), { recursive: true });
    await symlink(join(root, "node_modules"), folder.at("node_modules"));
    const about = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as object;
    await writeFile(folder.at("package.json"), JSON.stringify({ ...about, version: "4.0.9" }));
    const old = programsIn(folder.at("bin"));
    await using cluster = await startCluster();
    const env = { ...quiet, HOME: cluster.home };
    const asked = ["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=joe"];
    const tsh = await run(old.tsh, asked, { env });
    assert.equal(tsh.code, 1);
    assert.match(tsh.err, /this tsh is 4\.0\.9, the proxy needs at least 5\.0\.0.*--skip-version-check/);
    const tctl = await run(old.tctl, ["-c", cluster.config, "users", "ls"], { env });
    assert.equal(tctl.code, 1);
    assert.match(tctl.err, /this tctl is 4\.0\.9, the auth server needs at least 5\.0\.0/);
  });
});
