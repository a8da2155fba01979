import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import type { AuditEvent } from "#events";
import { eventually } from "../support/eventually.ts";
import { asRoot, skipUnless } from "../support/installed.ts";
import { descendants, isAlive } from "../support/processes.ts";
import { type ANode, startNode } from "./a-node.ts";
import { withoutOpenSsh } from "./openssh.ts";

type FileEvent = Extract<AuditEvent, { event: "sftp" }>;
const asOther = { skip: !asRoot && "becoming another user needs root" };

suite("SFTP of a node and stock OpenSSH", { timeout: 300_000, skip: withoutOpenSsh }, () => {
  let node: ANode;
  /** The client's folder, and the node's. */
  let here: string;
  let there: string;
  let turn = 0;
  before(async () => {
    node = await startNode();
    await node.ssh([node.target, "true"]);
  });
  after(() => node[Symbol.asyncDispose]());
  beforeEach(() => {
    here = join(node.dir, `here-${++turn}`);
    there = join(node.home, `there-${turn}`);
    mkdirSync(here);
    mkdirSync(there);
    chownSync(there, node.login.uid, node.login.gid);
    node.events.length = 0;
  });

  function run(program: string, args: readonly string[], input = ""): Promise<Result> {
    const child = spawn(program, args, { cwd: here, env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8" } });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, err })));
  }
  const options = (): string[] => [...node.flags(), "-P", String(node.port)];
  /** Runs lines in the node's folder; the first that fails ends it, unless it begins with a dash. */
  async function sftp(...lines: string[]): Promise<string> {
    const got = await tried(...lines);
    assert.equal(got.code, 0, got.err);
    return got.out.replaceAll(/^sftp> .*\n/gm, "");
  }
  const tried = (...lines: string[]): Promise<Result> =>
    run("sftp", [...options(), "-b", "-", `${node.target}:${there}`], `${lines.join("\n")}\n`);
  const scp = (...args: string[]): Promise<Result> => run("scp", [...options(), ...args]);
  const remote = (path: string): string => `${node.target}:${path}`;
  /** What was told of files since the last question, once the session has been told to its end. */
  async function told(): Promise<FileEvent[]> {
    await eventually("the end of the session is told", () =>
      node.events.some(({ event }) => event === "subsystem"),
    );
    return node.events.splice(0).filter((event): event is FileEvent => event.event === "sftp");
  }
  const brief = (events: readonly FileEvent[]): string[] =>
    events.map(({ code, action, path, target, len, ...rest }) =>
      [
        code.at(-1),
        action,
        path.replace(`${there}/`, ""),
        ...(target === undefined ? [] : [target.replace(`${there}/`, "")]),
        ...(len === undefined ? [] : [len]),
        ...("error" in rest ? [rest.error] : []),
      ].join(" "),
    );

  test("starts in the login's home", async () => {
    const got = await run("sftp", [...options(), "-b", "-", node.target], "pwd\n");
    assert.match(got.out, new RegExp(`Remote working directory: ${node.home}\n`));
  });

  test("files up and down, empty and large, each with its event", async () => {
    const large = Buffer.alloc(100 * 1024 * 1024, createHash("sha512").update("seed").digest());
    large.writeUInt32BE(0xdeadbeef, 77_777_777);
    writeFileSync(join(here, "large"), large);
    writeFileSync(join(here, "empty"), "");
    await sftp("put large", "put empty", "get large back", "get empty nothing");
    assert.ok(readFileSync(join(there, "large")).equals(large));
    assert.ok(readFileSync(join(here, "back")).equals(large));
    assert.equal(statSync(join(there, "empty")).size, 0);
    assert.equal(statSync(join(here, "nothing")).size, 0);
    assert.equal(statSync(join(there, "large")).uid, node.login.uid);
    const events = await told();
    assert.deepEqual(brief(events), [
      "I write large 104857600",
      "I write empty 0",
      "I read large 104857600",
      "I read empty 0",
    ]);
    const [event] = events;
    assert.deepEqual(
      [event?.user, event?.login, event?.server_id, event?.["addr.local"], event?.success],
      ["alice", node.login.name, "11111111-2222-4333-8444-555555555555", `127.0.0.1:${node.port}`, true],
    );
  });

  test("the session itself is told at its end", async () => {
    await sftp("pwd");
    const { name, exitError } = await node.event("T3001I");
    assert.deepEqual([name, exitError], ["sftp", ""]);
  });

  test("a tree with -r -p both ways: modes, times, empty files and folders", async () => {
    mkdirSync(join(here, "tree/sub/empty"), { recursive: true });
    writeFileSync(join(here, "tree/sub/run"), "#!/bin/sh\n");
    chmodSync(join(here, "tree/sub/run"), 0o751);
    writeFileSync(join(here, "tree/nothing"), "");
    utimesSync(join(here, "tree/sub/run"), 1e9, 1.1e9);
    chmodSync(join(here, "tree/sub"), 0o750);
    utimesSync(join(here, "tree/sub"), 1e9, 1.2e9);
    await sftp("put -rp tree", "get -rp tree back");
    for (const copy of [join(there, "tree"), join(here, "back")]) {
      assert.deepEqual(readdirSync(copy).sort(), ["nothing", "sub"]);
      const file = statSync(join(copy, "sub/run"));
      assert.deepEqual([file.mode & 0o7777, file.mtimeMs / 1000], [0o751, 1.1e9]);
      const folder = statSync(join(copy, "sub"));
      assert.deepEqual([folder.mode & 0o7777, folder.mtimeMs / 1000], [0o750, 1.2e9]);
      assert.ok(statSync(join(copy, "sub/empty")).isDirectory());
    }
  });

  test("what broke off is taken up again, both ways", async () => {
    const whole = Buffer.alloc(3_000_000, "0123456789abc");
    writeFileSync(join(here, "f"), whole);
    writeFileSync(join(there, "f"), whole.subarray(0, 1_234_567));
    chownSync(join(there, "f"), node.login.uid, node.login.gid);
    await sftp("reput f");
    assert.ok(readFileSync(join(there, "f")).equals(whole));
    writeFileSync(join(here, "f"), whole.subarray(0, 7));
    await sftp("reget f");
    assert.ok(readFileSync(join(here, "f")).equals(whole));
  });

  test("everything else that sftp can do, each change with its event", async () => {
    writeFileSync(join(here, "f"), "hello");
    writeFileSync(join(here, "g"), "old");
    const out = await sftp(
      ...[
        "put f",
        "put g",
        "mkdir d",
        "ln -s f soft",
        "ln f hard",
        "chmod 640 f",
        "rename f g",
        "copy g d/copied",
      ],
      ...["ls -l", "df", "rm hard", "rm d/copied", "rmdir d", "put -f g synced"],
    );
    assert.match(
      out,
      new RegExp(`^-rw-r-----[ \\d?]+ ${asRoot ? node.login.name : userInfo().username} .* 5 .* g$`, "m"),
    );
    assert.match(out, /^lrwxrwxrwx .* soft$/m);
    assert.match(out, /^drwxr-xr-x .* d$/m);
    assert.match(out, /%Capacity\n *\d+ +\d+ +\d+ +\d+ +\d+%/);
    assert.equal(readFileSync(join(there, "g"), "utf8"), "hello");
    assert.equal(readlinkSync(join(there, "soft")), "f");
    assert.deepEqual(readdirSync(there).sort(), ["g", "soft", "synced"]);
    assert.deepEqual(brief(await told()), [
      "I write f 5",
      "I write g 3",
      "I mkdir d",
      "I symlink soft f",
      "I link hard f",
      "I setstat f",
      "I rename f g",
      "I read g 5",
      "I write d/copied 5",
      "I remove hard",
      "I remove d/copied",
      "I rmdir d",
      "I write synced 3",
    ]);
  });

  test("S56: odd names arrive as they are, and nothing in them is run", async () => {
    const names = [
      "ünï ☃",
      "-dash",
      "semi;colon",
      "quo'te",
      "two\nlines",
      "$(touch gone)",
      "*",
      "back\\slash",
      "\x1b[31m",
    ];
    mkdirSync(join(here, "names"));
    for (const name of names) writeFileSync(join(here, "names", name), name);
    await sftp("put -r names", "get -r names back");
    for (const copy of [join(there, "names"), join(here, "back")]) {
      assert.deepEqual(readdirSync(copy).sort(), names.sort());
      for (const name of names) assert.equal(readFileSync(join(copy, name), "utf8"), name);
    }
    assert.ok(!existsSync(join(node.home, "gone")) && !existsSync(join(there, "gone")));
    assert.ok((await told()).some(({ path }) => path === join(there, "names/two\nlines")));
  });

  test("a folder of 5,000 files is listed and fetched whole, with an event for each", async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `file-${i}`);
    mkdirSync(join(there, "many"));
    for (const name of names) writeFileSync(join(there, "many", name), name);
    assert.equal((await sftp("ls -1 many")).trim().split("\n").length, 5000);
    await told();
    await sftp("get -r many");
    assert.deepEqual(readdirSync(join(here, "many")).sort(), names.sort());
    const events = await told();
    assert.equal(new Set(events.map(({ path }) => path)).size, 5000);
    assert.ok(events.every(({ code, action }) => code === "T4031I" && action === "read"));
  });

  test("links that lead to themselves end in an error, not in a loop", async () => {
    symlinkSync("b", join(there, "a"));
    symlinkSync("a", join(there, "b"));
    symlinkSync(".", join(there, "self"));
    const got = await tried("-get a", "-put f a", "-ls -l self/self/self", "get -r .");
    assert.equal(got.code, 0, got.err);
    assert.match(got.err, /not found|No such file|Can't|stat/);
  });

  test("what the login may not do is refused and told; the session goes on", asOther, async () => {
    // Root's, and of no use to anybody: were the server root's too, it would do all of this.
    const theirs = join(node.dir, `theirs-${turn}`);
    mkdirSync(theirs, { mode: 0o755 });
    writeFileSync(join(theirs, "file"), "root's");
    writeFileSync(join(there, "roots"), "secret", { mode: 0o600 });
    mkdirSync(join(there, "closed"), { mode: 0o700 });
    writeFileSync(join(here, "f"), "x");
    const got = await tried(
      ...["-get roots", `-put f ${theirs}/new-file`, "-put f closed/f", "-chmod 777 roots", "-chown 0 roots"],
      ...[
        `-mkdir ${theirs}/new`,
        `-rm ${theirs}/file`,
        `-rename ${theirs}/file taken`,
        "-ls closed",
        "put f fine",
      ],
    );
    assert.equal(got.code, 0, got.err);
    assert.equal(readFileSync(join(there, "fine"), "utf8"), "x");
    assert.equal(statSync(join(there, "roots")).mode & 0o777, 0o600);
    assert.ok(!existsSync(join(there, "closed/f")));
    assert.deepEqual(readdirSync(theirs), ["file"]);
    assert.deepEqual(brief(await told()), [
      "E read roots permission denied",
      `E write ${theirs}/new-file permission denied`,
      "E write closed/f permission denied",
      "E setstat roots operation not permitted",
      "E setstat roots operation not permitted",
      `E mkdir ${theirs}/new permission denied`,
      `E remove ${theirs}/file permission denied`,
      `E rename ${theirs}/file taken permission denied`,
      "I write fine 1",
    ]);
  });

  test("S53: a link of the login's leads the node's root powers nowhere", asOther, async () => {
    const roots = join(node.dir, `roots-${turn}`);
    writeFileSync(roots, "root's", { mode: 0o600 });
    symlinkSync(roots, join(there, "link"));
    writeFileSync(join(here, "f"), "overwritten");
    await tried("-put f link", "-chmod 666 link", "-chown 5 link", "-get link got");
    assert.equal(readFileSync(roots, "utf8"), "root's");
    assert.deepEqual([statSync(roots).mode & 0o777, statSync(roots).uid], [0o600, 0]);
    assert.ok(!existsSync(join(here, "got")) || readFileSync(join(here, "got"), "utf8") === "");
  });

  test("S55: the process that serves files has the login's groups and no power", asOther, async () => {
    const child = spawn("sftp", [...options(), node.target], { stdio: ["pipe", "pipe", "inherit"] });
    try {
      const pid = await eventually("its process is there", () =>
        descendants(process.pid).find((one) => {
          const status = readFileSync(`/proc/${one}/status`, "utf8");
          return status.includes("node") && /^Uid:\t5\t/m.test(status);
        }),
      );
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      assert.match(status, /^Gid:\t60\t60\t60\t60$/m);
      assert.match(status, /^Groups:\t29 60 $/m);
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"])
        assert.match(status, new RegExp(`^${set}:\t0+$`, "m"));
    } finally {
      child.stdin.end();
      await new Promise((resolve) => child.once("exit", resolve));
    }
  });

  test("a full disk fails the file and says so; the session goes on", asOther, async (t) => {
    const small = join(there, "small");
    mkdirSync(small);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=777", "none", small], { stdio: "ignore" });
    } catch {
      t.skip("nothing can be mounted here");
      return;
    }
    try {
      writeFileSync(join(here, "big"), Buffer.alloc(1024 * 1024));
      const got = await tried("-put big small/big", "df small", "rm small/big");
      assert.equal(got.code, 0, got.err);
      assert.match(got.err, /small\/big|write remote/);
      const [write] = await told();
      assert.ok(write?.code === "T4031E", JSON.stringify(write));
      assert.deepEqual([write.action, write.error], ["write", "no space left on device"]);
    } finally {
      execFileSync("umount", [small]);
    }
  });

  test("a client that is killed leaves no process and no open file, and what it did is told", async () => {
    const big = openSync(join(here, "big"), "w");
    writeSync(big, "x", 8 * 1024 ** 3);
    closeSync(big);
    const before = {
      children: new Set(descendants(process.pid)),
      files: readdirSync("/proc/self/fd").length,
    };
    const child = spawn("sftp", [...options(), "-b", "-", remote(there)], {
      cwd: here,
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.stdin.end("put big\n");
    await eventually(
      "some of it has arrived",
      () => existsSync(join(there, "big")) && statSync(join(there, "big")).size > 1e6,
    );
    const serving = descendants(process.pid).filter((pid) => pid !== child.pid && !before.children.has(pid));
    child.kill("SIGKILL");
    const [event] = await told();
    assert.ok(event?.code === "T4031E" && event.action === "write", JSON.stringify(event));
    assert.equal(event.error, "the client left before the file was closed");
    assert.ok((event.len ?? 0) > 1e6);
    const login = node.login.uid;
    await eventually("its processes are gone", () =>
      serving.every(
        (pid) => !isAlive(pid) || statSync(`/proc/${pid}`).uid !== login || login === process.getuid?.(),
      ),
    );
    await eventually("its files are closed", () => readdirSync("/proc/self/fd").length <= before.files);
    rmSync(join(there, "big"));
  });

  test("a server that is killed is told with what it had open", async () => {
    const big = openSync(join(here, "big"), "w");
    writeSync(big, "x", 8 * 1024 ** 3);
    closeSync(big);
    const before = new Set(descendants(process.pid));
    const child = spawn("sftp", [...options(), "-b", "-", remote(there)], {
      cwd: here,
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.stdin.end("put big\n");
    const path = join(there, "big");
    const server = await eventually("its server is found", () =>
      [...descendants(process.pid), ...before].find((pid) => {
        try {
          return (
            pid !== child.pid &&
            readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === path)
          );
        } catch {
          return false;
        }
      }),
    );
    process.kill(server, "SIGKILL");
    const [event] = await told();
    assert.ok(event?.code === "T4031E" && event.path === path, JSON.stringify(event));
    assert.equal(event.error, "the session ended while the file was open");
    rmSync(path);
  });

  test("S39: no files for a login that the node does not have, or the certificate does not name", async () => {
    for (const [login, principals] of [
      ["ghost", ["ghost"]],
      ["root", [node.login.name === "root" ? "games" : node.login.name]],
    ] as const) {
      const file = await node.identity({ principals });
      const flags = [...node.flags(file), "-P", String(node.port)];
      const got = await run("sftp", [...flags, "-b", "-", `${login}@127.0.0.1`], "pwd\n");
      assert.notEqual(got.code, 0);
      assert.doesNotMatch(got.out, /Remote working directory/);
    }
    assert.ok(!node.events.some(({ event }) => event === "subsystem" || event === "sftp"));
  });

  test("rubbish on the subsystem ends it, and is told", async () => {
    const got = await node.ssh(["-s", node.target, "sftp"], { input: "GET / HTTP/1.0\r\n\r\n" });
    assert.equal(got.code, 1);
    assert.match(got.err, /^sftp: sftp message of \d+ bytes/);
    assert.match((await node.event("T3001E")).exitError, /code 1/);
  });

  suite("scp as OpenSSH 9 speaks it", () => {
    test("files both ways, -p, and from the home by ~", async () => {
      writeFileSync(join(here, "f"), "hello", { mode: 0o640 });
      utimesSync(join(here, "f"), 1e9, 1.1e9);
      const name = `there-${turn}`;
      assert.deepEqual(await scp("-p", "f", remote(`~/${name}/g`)), { code: 0, out: "", err: "" });
      const there_ = statSync(join(there, "g"));
      assert.deepEqual([there_.mode & 0o777, there_.mtimeMs / 1000], [0o640, 1.1e9]);
      assert.deepEqual(await scp(remote(`${name}/g`), "back"), { code: 0, out: "", err: "" });
      assert.equal(readFileSync(join(here, "back"), "utf8"), "hello");
      assert.ok(
        (await told()).some(
          ({ action, path, len }) => action === "write" && path === join(there, "g") && len === 5,
        ),
      );
    });

    test("a tree with -r, and what matches a pattern", async () => {
      mkdirSync(join(here, "tree/sub"), { recursive: true });
      for (const name of ["tree/a", "tree/b b", "tree/sub/c"]) writeFileSync(join(here, name), name);
      assert.deepEqual(await scp("-r", "tree", remote(there)), { code: 0, out: "", err: "" });
      assert.deepEqual(await scp("-r", remote(`${there}/tr*`), "."), { code: 0, out: "", err: "" });
      assert.deepEqual(await scp(remote(`${there}/tree/?`), "."), { code: 0, out: "", err: "" });
      assert.equal(readFileSync(join(there, "tree/sub/c"), "utf8"), "tree/sub/c");
      assert.equal(readFileSync(join(here, "a"), "utf8"), "tree/a");
    });

    test("what is not there fails with a sentence", async () => {
      const got = await scp(remote(join(there, "none")), ".");
      assert.equal(got.code, 1);
      assert.match(got.err, /No such file/);
    });
  });

  const fuse = skipUnless("sshfs", "fusermount3") || (!existsSync("/dev/fuse") && "there is no /dev/fuse");
  test("sshfs: a mounted folder reads and writes", { skip: fuse }, async (t) => {
    const mounted = join(here, "mounted");
    mkdirSync(mounted);
    const flags = node.flags().flatMap((flag, i, all) => {
      if (flag === "-o") return ["-o", all[i + 1] as string];
      return flag === "-i" ? ["-o", `IdentityFile=${all[i + 1]}`] : [];
    });
    const got = await run("sshfs", [...flags, "-F", "none", "-p", String(node.port), remote(there), mounted]);
    if (got.code !== 0 && /fuse|mount/i.test(got.err)) {
      t.skip(`nothing can be mounted here: ${got.err.trim()}`);
      return;
    }
    assert.equal(got.code, 0, got.err);
    try {
      const script = [
        "echo hello > f && cat f && mkdir d && mv f d/g && ln -s d/g l && cat l && echo more >> d/g",
        "truncate -s 8 d/g && chmod 600 d/g && stat -c %a:%s d/g && ls d && rm l && df . > /dev/null && rm -r d && ls",
      ].join(" && ");
      const done = await run("sh", ["-c", `cd mounted && ${script}`]);
      assert.deepEqual([done.out, done.err], ["hello\nhello\n600:8\ng\n", ""]);
    } finally {
      execFileSync("fusermount3", ["-u", mounted]);
    }
  });
});

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
