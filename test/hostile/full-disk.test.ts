import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { type Apart, startApart } from "../e2e/apart.ts";
import { login } from "../e2e/cluster.ts";
import { programs } from "../e2e/daemon.ts";
import { eventually } from "../support/eventually.ts";
import { noMounts } from "../support/installed.ts";
import type { Ran } from "../support/run.ts";

suite("the full disk of a node", { skip: noMounts() }, () => {
  test("ends no sessions, but those begin no more that a role wants recorded; what was acknowledged arrives", async () => {
    await using apart = await startApart({
      // A disk of its own, which ends with it.
      nodeCommand: (dataDir) => [
        ...["unshare", "-m", "sh", "-c"],
        `mkdir -p ${dataDir} && mount -t tmpfs -o size=24m,mode=700 none ${dataDir} && exec ${programs.teleport} "$@"`,
        "sh",
      ],
    });
    const { cluster, auth, node } = apart;
    await cluster.makeUser("joe");
    await cluster.logIn("joe");
    const ssh = (command: string): Promise<Ran> => cluster.tsh(["ssh", `${login}@box`, command]);
    const disk = diskOf(apart);
    const ran = async (command: string): Promise<void> => {
      const done = await ssh(command);
      assert.equal(done.code, 0, done.err);
    };
    const told = (command: string): Promise<unknown> =>
      cluster.event(command, (event) => event.event === "exec" && event.command === command);

    await ran("echo before");
    await auth.daemon.stop("SIGKILL");
    await ran("echo on disk");
    disk.fill();
    await ran("echo nowhere to go");
    await node.daemon.program.line(/neither the auth server nor the disk takes them/);
    await node.daemon.program.line(/a session is not recorded/);
    await auth.start();
    await auth.daemon.ready();
    for (const command of ["echo before", "echo on disk", "echo nowhere to go"]) await told(command);

    const role = cluster.folder.at("role.yaml");
    const admin = await cluster.mustTctl("get", "role/admin");
    assert.match(admin, /^ {2}options:/m);
    await writeFile(
      role,
      admin.replace(/^ {2}options:.*$/m, "  options:\n    record_session: {default: strict}"),
    );
    await cluster.mustTctl("create", "-f", role);
    const refused = await eventually("a refusal", async () => {
      const done = await ssh("echo recorded");
      return done.code === 0 ? undefined : done;
    });
    assert.equal(refused.code, 255, refused.err);
    assert.match(refused.err, /your role demands that sessions are recorded.*the disk is full/);
    assert.equal(refused.out, "");
    disk.clear();
    await ran("echo room again");
    await told("echo room again");
    assert.doesNotMatch(node.daemon.program.said, /^\s+at /m);
  });
});

/** The node's disk, seen through its process. */
function diskOf({ node }: Apart) {
  const file = join(`/proc/${node.daemon.program.pid}/root`, node.dataDir, "fill");
  return {
    fill() {
      try {
        writeFileSync(file, Buffer.alloc(32 << 20));
      } catch {
        // As much as there is room for.
      }
    },
    clear: () => rmSync(file),
  };
}
