import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  appendFile,
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  statfs,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { after, before } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { skipUnless } from "../../support/installed.ts";
import { freePort } from "../../support/port.ts";
import { Program } from "../../support/program.ts";
import { Terminal } from "../../support/terminal.ts";
import { listen, withoutOpenSsh } from "../openssh.ts";
import { versionOf, withPeer } from "./peer.ts";
import { type Site, startSite } from "./site.ts";

const against = "proxy and node, by certificate";
const version = (): Promise<string> => versionOf(/OpenSSH_([\w.]+)/, "ssh", ["-V"]);
const stack = new AsyncDisposableStack();
let site: Site;
before(async () => {
  if (!withoutOpenSsh) site = stack.use(await startSite());
});
after(() => stack.disposeAsync());

const ssh = (args: readonly string[], input?: string | Uint8Array) =>
  site.run("ssh", ["-F", site.sshConfig, ...args], input === undefined ? {} : { input });
/** A tree with what copies get wrong: an empty file, a mode, a name with a blank, a link. */
async function tree(name: string): Promise<string> {
  const path = site.at(name);
  await mkdir(`${path}/sub`, { recursive: true });
  await writeFile(`${path}/sub/data`, randomBytes(300_001));
  await writeFile(`${path}/a name`, "");
  await writeFile(`${path}/run`, "#!/bin/sh\n");
  await chmod(`${path}/run`, 0o750);
  await symlink("run", `${path}/link`);
  return path;
}
async function sameTree(a: string, b: string): Promise<void> {
  assert.deepEqual((await readdir(b)).sort(), ["a name", "link", "run", "sub"]);
  assert.ok((await readFile(`${a}/sub/data`)).equals(await readFile(`${b}/sub/data`)));
  assert.equal((await stat(`${b}/run`)).mode & 0o777, 0o750);
}

withPeer({ peer: "OpenSSH ssh, scp, sftp", against, version, skip: withoutOpenSsh }, (check) => {
  check("command with input, error output and exit code", async () => {
    const ran = await ssh([site.node, "cat; echo why >&2; exit 7"], "hello");
    assert.deepEqual([ran.code, ran.out, ran.err], [7, "hello", "why\n"]);
  });

  check("shell in a terminal of the user's size", async () => {
    await using shell = new Terminal("ssh", ["-F", site.sshConfig, site.node], { env: { HOME: site.at() } });
    shell.type("stty -echo; echo [$(stty size)] $TERM; exit 4\r");
    await shell.sees(/\[\d+ \d+\] \w+/);
    assert.equal(await shell.ended(), 4);
  });

  check("24 MiB both ways, new keys each MiB", async () => {
    const text = randomBytes(18 * 1024 * 1024).toString("base64");
    const ran = await ssh(["-o", "RekeyLimit=1M", site.node, "cat"], text);
    assert.equal(ran.code, 0, ran.err);
    assert.ok(ran.out === text);
  });

  for (const [what, flags] of [
    ["scp over SFTP", []],
    ["scp -O", ["-O"]],
  ] as const) {
    check(`${what}: trees both ways`, async () => {
      const name = `scp${flags.length}`;
      const from = await tree(name);
      const scp = ["-F", site.sshConfig, ...flags, "-rpq"];
      await site.mustRun("scp", [...scp, from, `${site.node}:${site.at(`${name}-there`)}`]);
      await sameTree(from, site.at(`${name}-there`));
      await site.mustRun("scp", [
        ...scp,
        `${site.node}:${site.at(`${name}-there`)}`,
        site.at(`${name}-back`),
      ]);
      await sameTree(from, site.at(`${name}-back`));
    });
  }

  check("sftp: put, reget, rename, chmod, ln, df, ls, rm", async () => {
    const content = randomBytes(3_000_001);
    await writeFile(site.at("up"), content);
    await writeFile(site.at("down"), content.subarray(0, 1_000_000));
    const batch = [
      "mkdir box",
      "put up box/first",
      "rename box/first box/second",
      "chmod 640 box/second",
      "ln -s second box/link",
      "ln box/second box/hard",
      "df box",
      "reget box/second down",
      "rm box/hard",
      "ls -l box",
    ].map((line) => line.replaceAll("box", site.at("box")));
    const said = await site.mustRun("sftp", ["-F", site.sshConfig, "-b", "-", site.node], {
      input: `${batch.join("\n")}\n`,
    });
    assert.ok(content.equals(await readFile(site.at("down"))));
    assert.match(said, /-rw-r----- .* 3000001 .*second/);
    assert.match(said, /%/);
    assert.deepEqual((await readdir(site.at("box"))).sort(), ["link", "second"]);
  });

  check("ControlMaster with 60 sessions at a time", async () => {
    const control = ["-o", `ControlPath=${site.at("control")}`];
    await using master = await Program.start(
      "ssh",
      ["-F", site.sshConfig, ...control, "-o", "ControlMaster=yes", "-N", site.node],
      { env: { HOME: site.at() } },
    );
    const mux = ["-F", site.sshConfig, ...control];
    await eventually(
      "a master",
      async () => (await site.run("ssh", [...mux, "-O", "check", site.node])).code === 0,
      { every: 100 },
    );
    const sessions = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        Program.start("ssh", [...mux, site.node, `echo in; read x; echo ${i} $x; exit ${i}`], {
          env: { HOME: site.at() },
        }),
      ),
    );
    // All are open before any may end.
    await Promise.all(sessions.map((session) => session.line(/^in$/m)));
    for (const session of sessions) session.write("done\n");
    assert.deepEqual(
      await Promise.all(sessions.map(async (session) => [await session.ended(), session.said])),
      sessions.map((_, i) => [i, `in\n${i} done\n`]),
    );
    assert.ok(!master.hasEnded);
  });
});

const rsyncVersion = (): Promise<string> => versionOf(/version (\S+)/, "rsync", ["--version"]);
withPeer(
  { peer: "rsync over OpenSSH", against, version: rsyncVersion, skip: skipUnless("ssh", "sshd", "rsync") },
  (check) => {
    check("tree up, down, and again after a change", async () => {
      const from = await tree("rsync");
      const [there, back] = [site.at("rsync-there"), site.at("rsync-back")];
      const copy = (a: string, b: string): Promise<string> =>
        site.mustRun("rsync", ["-a", "--stats", "-e", `ssh -F ${site.sshConfig}`, a, b]);
      await copy(`${from}/`, `${site.node}:${there}`);
      await writeFile(`${from}/sub/data`, randomBytes(300_002));
      await writeFile(`${from}/run`, "#!/bin/sh\n# changed\n");
      assert.match(await copy(`${from}/`, `${site.node}:${there}`), /files transferred: 2\n/);
      await copy(`${site.node}:${there}/`, back);
      await sameTree(from, back);
    });
  },
);

const gitVersion = (): Promise<string> => versionOf(/version (\S+)/, "git", ["--version"]);
withPeer(
  { peer: "git over OpenSSH", against, version: gitVersion, skip: skipUnless("ssh", "sshd", "git") },
  (check) => {
    check("clone, push, fetch", async () => {
      const env = {
        GIT_SSH_COMMAND: `ssh -F ${site.sshConfig}`,
        GIT_CONFIG_GLOBAL: "/dev/null",
        GIT_AUTHOR_NAME: "joe",
        GIT_AUTHOR_EMAIL: "joe@example.com",
        GIT_COMMITTER_NAME: "joe",
        GIT_COMMITTER_EMAIL: "joe@example.com",
      };
      const git = (...args: string[]): Promise<string> => site.mustRun("git", args, { env });
      const [bare, one, two] = [site.at("bare.git"), site.at("one"), site.at("two")];
      await git("init", "-q", "--bare", bare);
      for (const clone of [one, two]) await git("clone", "-q", `ssh://${site.node}${bare}`, clone);
      await writeFile(`${one}/file`, randomBytes(500_000));
      await git("-C", one, "add", "file");
      await git("-C", one, "commit", "-q", "-m", "one");
      await git("-C", one, "push", "-q", "origin", "HEAD:main");
      await git("-C", two, "fetch", "-q", "origin", "main");
      await git("-C", two, "checkout", "-q", "FETCH_HEAD");
      assert.ok((await readFile(`${one}/file`)).equals(await readFile(`${two}/file`)));
    });
  },
);

const ansibleVersion = (): Promise<string> => versionOf(/core ([\d.]+)/, "ansible", ["--version"]);
const withoutAnsible = skipUnless("ssh", "sshd", "ansible");
withPeer(
  { peer: "Ansible over OpenSSH", against, version: ansibleVersion, skip: withoutAnsible },
  (check) => {
    check("ping, copy", async () => {
      await writeFile(site.at("hosts"), `${site.node} ansible_python_interpreter=/usr/bin/python3\n`);
      await writeFile(site.at("content"), randomBytes(100_001));
      const ansible = (...args: string[]): Promise<string> =>
        site.mustRun("ansible", ["all", "-i", site.at("hosts"), ...args], {
          env: { ANSIBLE_SSH_ARGS: `-F ${site.sshConfig}`, ANSIBLE_LOCAL_TEMP: site.at("ansible") },
        });
      assert.match(await ansible("-m", "ping"), /"ping": "pong"/);
      const copied = await ansible("-m", "copy", "-a", `src=${site.at("content")} dest=${site.at("copied")}`);
      assert.match(copied, /"changed": true/);
      assert.ok((await readFile(site.at("content"))).equals(await readFile(site.at("copied"))));
    });
  },
);

const withoutSshfs =
  skipUnless("ssh", "sshd", "sshfs", "fusermount3") || (!existsSync("/dev/fuse") && "there is no /dev/fuse");
const sshfsVersion = (): Promise<string> => versionOf(/SSHFS version (\S+)/, "sshfs", ["-V"]);
withPeer({ peer: "sshfs over OpenSSH", against, version: sshfsVersion, skip: withoutSshfs }, (check) => {
  check("mount; write, append, read, rename, truncate, list, df; unmount", async () => {
    const [mounted, there] = [site.at("mounted"), site.at("sshfs-there")];
    for (const folder of [mounted, there]) await mkdir(folder);
    await site.mustRun("sshfs", ["-F", site.sshConfig, `${site.node}:${there}`, mounted]);
    try {
      const content = randomBytes(2_000_003);
      await writeFile(`${mounted}/file`, content);
      await appendFile(`${mounted}/file`, "more");
      assert.ok(Buffer.concat([content, Buffer.from("more")]).equals(await readFile(`${there}/file`)));
      assert.ok((await readFile(`${mounted}/file`)).subarray(0, content.length).equals(content));
      await writeFile(`${mounted}/old`, "");
      await rename(`${mounted}/file`, `${mounted}/old`);
      await truncate(`${mounted}/old`, 10);
      await chmod(`${mounted}/old`, 0o600);
      assert.deepEqual(await readdir(mounted), ["old"]);
      const { size, mode } = await stat(`${there}/old`);
      assert.deepEqual([size, mode & 0o777], [10, 0o600]);
      assert.equal((await statfs(mounted)).blocks > 0, true);
    } finally {
      await site.mustRun("fusermount3", ["-u", mounted]);
    }
  });
});

withPeer({ peer: "VS Code Remote's way to start", against, version, skip: withoutOpenSsh }, (check) => {
  check("ssh -T -D with bash fed by a script, and 40 connections through it beside the shell", async () => {
    // Stands for the editor's server, at the node.
    await using server = await listen((socket) => socket.pipe(socket), { allowHalfOpen: true });
    const socks = await freePort();
    await using editor = await Program.start(
      "ssh",
      ["-F", site.sshConfig, "-o", "LogLevel=INFO", "-T", "-D", `127.0.0.1:${socks}`, site.node, "bash"],
      { env: { HOME: site.at() } },
    );
    // As the script does: says what it found between marks, then stays.
    editor.write(`echo "start: $(uname)"\nwhile read -r line; do echo "heard: $line"; done\n`);
    await editor.line(/start: Linux/);
    const talks = Array.from({ length: 40 }, async (_, i) => {
      const socket = await throughSocks(socks, server.port);
      const sent = randomBytes(20_000 + i);
      socket.end(sent);
      const got: Uint8Array[] = [];
      for await (const chunk of socket) got.push(chunk as Uint8Array);
      assert.ok(Buffer.concat(got).equals(sent));
    });
    editor.write("keystroke\n");
    await Promise.all([...talks, editor.line(/heard: keystroke/)]);
    editor.write("still there\n");
    await editor.line(/heard: still there/);
  });
});

/** A connection to a port of 127.0.0.1 as the other side of a SOCKS 5 proxy sees it (RFC 1928). */
async function throughSocks(proxy: number, port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: proxy, allowHalfOpen: true });
  const answer = async (length: number): Promise<Buffer> => {
    for (;;) {
      const got = socket.read(length) as Buffer | null;
      if (got) return got;
      await once(socket, "readable");
    }
  };
  await once(socket, "connect");
  socket.write(Uint8Array.of(5, 1, 0));
  assert.deepEqual([...(await answer(2))], [5, 0]);
  socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255));
  assert.equal((await answer(10))[1], 0);
  return socket;
}
