import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { mustRun, type RunOptions, run } from "../support/run.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";

const node = "testnode.main";
/** Once the node's SFTP is in the tree nothing here is skipped for the want of it. */
const noSftp = existsSync(join(import.meta.dirname, "../../src/ssh/sftp"))
  ? false
  : "the node serves no SFTP yet";

/** How a person's OpenSSH came to know the cluster. */
export interface Way {
  readonly config: string;
  readonly env: NonNullable<RunOptions["env"]>;
}

/** The suite of what people do with OpenSSH, once `prepare` has joe logged in. */
export function toolsOver(
  which: string,
  prepare: (cluster: Cluster, stack: AsyncDisposableStack) => Promise<Way>,
): void {
  suite(`tools over ${which}`, { skip: skipUnless("ssh", "scp", "sftp", "ssh-agent") }, () => {
    const stack = new AsyncDisposableStack();
    let cluster: Cluster;
    let way: Way;
    let folder: string;

    before(async () => {
      cluster = stack.use(await startCluster());
      await cluster.makeUser("joe");
      way = await prepare(cluster, stack);
      folder = cluster.folder.at("work");
      await mkdir(folder);
    });
    after(() => stack.disposeAsync());

    const must = (command: string, args: readonly string[], env: RunOptions["env"] = {}): Promise<string> =>
      mustRun(command, args, { env: { ...way.env, ...env }, cwd: folder });
    const place = (name: string): string => join(folder, name);
    const ssh = (): string => `ssh -F ${way.config} -o BatchMode=yes`;

    test("ssh NAME.CLUSTER, asked nothing", async () => {
      const args = ["-F", way.config, "-o", "BatchMode=yes", node, "echo at $USER"];
      assert.equal(await must("ssh", args), `at ${login}\n`);
    });

    test("S57: a command in a host's name is not run", async () => {
      for (const name of ["$(touch owned)", "`touch owned`", "x;touch owned;", "x'|touch owned|'", "-oFoo"]) {
        const { code } = await run("ssh", ["-F", way.config, "-o", "BatchMode=yes", `${name}.main`, "true"], {
          env: way.env,
          cwd: folder,
        });
        assert.equal(code, 255, name);
      }
      assert.equal(existsSync(place("owned")), false);
    });

    for (const [how, flags, skip] of [
      ["by its old protocol", ["-O"], false],
      ["by SFTP", [], noSftp],
    ] as const) {
      test(`scp ${how}, both ways`, { skip }, async () => {
        const content = randomBytes(200_000);
        await writeFile(place("here"), content);
        const copy = (from: string, to: string): Promise<string> =>
          must("scp", ["-q", "-F", way.config, ...flags, from, to]);
        await copy("here", `${node}:${place("there")}`);
        await copy(`${node}:${place("there")}`, "back");
        assert.ok(content.equals(await readFile(place("back"))));
      });
    }

    test("sftp", { skip: noSftp }, async () => {
      const content = randomBytes(200_000);
      await writeFile(place("up"), content);
      await writeFile(place("batch"), `put up ${place("over")}\nget ${place("over")} down\n`);
      await must("sftp", ["-q", "-F", way.config, "-b", "batch", node]);
      assert.ok(content.equals(await readFile(place("down"))));
    });

    test("rsync, both ways", { skip: skipUnless("rsync") }, async () => {
      await mkdir(place("tree/below"), { recursive: true });
      const content = randomBytes(200_000);
      await writeFile(place("tree/below/file"), content);
      await must("rsync", ["-a", "-e", ssh(), "tree/", `${node}:${place("mirrored")}`]);
      assert.ok(content.equals(await readFile(place("mirrored/below/file"))));
      await must("rsync", ["-a", "-e", ssh(), `${node}:${place("mirrored")}/`, "again"]);
      assert.ok(content.equals(await readFile(place("again/below/file"))));
    });

    test("git clone and push", { skip: skipUnless("git") }, async () => {
      const git = (...args: string[]): Promise<string> =>
        must("git", ["-c", "user.name=joe", "-c", "user.email=joe@example.com", ...args], {
          GIT_SSH_COMMAND: ssh(),
          GIT_CONFIG_GLOBAL: "/dev/null",
          GIT_CONFIG_SYSTEM: "/dev/null",
        });
      await git("init", "-q", "--bare", "-b", "main", "origin.git");
      await git("clone", "-q", `${node}:${place("origin.git")}`, "one");
      await writeFile(place("one/file"), "from one\n");
      await git("-C", "one", "add", "file");
      await git("-C", "one", "commit", "-qm", "A file");
      await git("-C", "one", "push", "-q", "origin", "HEAD:main");
      await git("clone", "-q", `ssh://${login}@${node}${place("origin.git")}`, "two");
      assert.equal(await readFile(place("two/file"), "utf8"), "from one\n");
    });

    suite("Ansible", { skip: skipUnless("ansible", "python3") }, () => {
      for (const [how, settings, skip] of [
        ["scp_if_ssh = True and scp's old protocol", ["scp_if_ssh = True", "scp_extra_args = -O"], false],
        ["scp_if_ssh = True", ["scp_if_ssh = True"], noSftp],
        ["what it has by default", [], noSftp],
      ] as const) {
        test(`ACC-55: ping and copy with ${how}`, { skip }, async () => {
          const name = how.replace(/\W+/g, "-");
          await writeFile(place("hosts"), `${node} ansible_python_interpreter=/usr/bin/python3\n`);
          await writeFile(
            place("ansible.cfg"),
            [
              "[defaults]",
              `remote_tmp = ${place("ansible-remote")}`,
              `local_tmp = ${place("ansible-local")}`,
              "inventory = hosts",
              "[ssh_connection]",
              `ssh_args = -F ${way.config} -o ControlMaster=auto -o ControlPersist=5s`,
              `control_path_dir = ${cluster.folder.at("cp")}`,
              ...settings,
            ].join("\n"),
          );
          const ansible = (...args: string[]): Promise<string> =>
            must("ansible", ["all", ...args], {
              ANSIBLE_CONFIG: place("ansible.cfg"),
              ANSIBLE_NOCOLOR: "1",
              LC_ALL: "C.UTF-8",
            });
          assert.match(await ansible("-m", "ping"), /testnode\.main \| SUCCESS => \{[^}]*"ping": "pong"/);
          const content = randomBytes(3000).toString("hex");
          await writeFile(place("source"), content);
          const said = await ansible("-m", "copy", "-a", `src=${place("source")} dest=${place(name)}`);
          assert.match(said, /testnode\.main \| CHANGED/);
          assert.equal(await readFile(place(name), "utf8"), content);
        });
      }
    });
  });
}
