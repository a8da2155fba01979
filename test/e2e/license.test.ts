import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { selfSigned } from "../self-signed.ts";
import { tempDir } from "../support/temp-dir.ts";
import { startCluster } from "./cluster.ts";

suite("a license, which nothing needs", () => {
  const { cert, key } = selfSigned("Example Inc");
  const license = cert + key;

  /** What an auth service says of its license at its start, and in `tctl status`. */
  async function told(file: string | undefined, named?: string): Promise<{ said: string; status: string }> {
    await using cluster = await startCluster({
      flags: ["--roles=auth"],
      ...(named !== undefined && { config: { auth_service: { license_file: named } } }),
      async prepare(folder) {
        if (file === undefined) return;
        await mkdir(folder.at("data"), { mode: 0o700 });
        await writeFile(folder.at("data/license.pem"), file, { mode: 0o600 });
      },
    });
    return { said: cluster.daemon.program.said, status: await cluster.mustTctl("status") };
  }

  test("ACC-64: a good one is shown by tctl status, after the rows of the guide: by a whole path, in the data folder by name, or there without a name", async () => {
    await using elsewhere = await tempDir();
    const whole = elsewhere.at("own.pem");
    await writeFile(whole, license);
    for (const [file, named, path] of [
      [undefined, whole, whole],
      [license, "license.pem", "data/license.pem"],
      [license, undefined, "data/license.pem"],
    ] as const) {
      const { said, status } = await told(file, named);
      const [last = "", ...before] = status.trimEnd().split("\n").reverse();
      assert.match(last, /^License +Example Inc, valid until \d{4}-\d\d-\d\d \(/);
      assert.ok(last.includes(path), last);
      assert.deepEqual(
        before.reverse().map((row) => row.replace(/ {2,}.*| [^ ]*$/, "").split(" ")[0]),
        ["Cluster", "User", "Host", "CA"],
      );
      assert.doesNotMatch(said, /license/i);
    }
  });

  test("ACC-64: one that is named and is missing or broken is a warning, and one that is not there at all nothing", async () => {
    for (const [file, named, warning] of [
      [undefined, "license.pem", /WARN.*license_file: .*license\.pem is not there; nothing needs a license/i],
      ["no license", "license.pem", /WARN.*license_file: .*license\.pem holds no certificate with its key/i],
      [undefined, undefined, undefined],
    ] as const) {
      const { said, status } = await told(file, named);
      assert.doesNotMatch(status, /License/);
      if (warning) assert.match(said, warning);
      else assert.doesNotMatch(said, /license/i);
      assert.equal(said.match(/license_file/g)?.length ?? 0, warning ? 1 : 0);
    }
  });
});
