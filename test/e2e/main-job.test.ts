import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { Program } from "../support/program.ts";
import { Terminal } from "../support/terminal.ts";
import { totp } from "../support/totp.ts";
import { type Cluster, login, type Person, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

suite("a person invited, logged in, at work, and let go", () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let joe: Person;
  let session: string;
  const host = `${login}@testnode`;

  before(async () => {
    cluster = stack.use(await startCluster({ secondFactor: "otp" }));
  });
  after(() => stack.disposeAsync());

  const recordings = (): string => join(cluster.dataDir, "log/sessions/default");

  test("signs up with a one-time code", async () => {
    joe = await cluster.makeUser("joe");
    assert.ok(joe.otpSecret);
  });

  test("ACC-28: tctl get user/joe shows the whole record", async () => {
    const text = await cluster.mustTctl("get", "user/joe", "--format=json");
    const [user] = JSON.parse(text) as [Record<string, never>];
    const { kind, version, metadata, spec } = user as unknown as {
      kind: string;
      version: string;
      metadata: { name: string };
      spec: Record<string, unknown>;
    };
    assert.deepEqual([kind, version, metadata.name], ["user", "v2", "joe"]);
    assert.deepEqual(spec.roles, ["admin"]);
    assert.deepEqual((spec.traits as Record<string, unknown>).logins, [login]);
    const status = spec.status as Record<string, unknown>;
    assert.equal(status.is_locked, false);
    for (const key of ["lock_expires", "locked_time"]) assert.ok(key in status, text);
    for (const key of ["expires", "created_by"]) assert.ok(key in spec, text);
    assert.match(await cluster.mustTctl("get", "user/joe"), /^kind: user$/m);
  });

  test("logs in with password and code", async () => {
    const flags = ["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=joe"];
    const wrong = await cluster.tsh(flags, { input: `${joe.password}\n000000\n` });
    assert.equal(wrong.code, 1, wrong.out);
    assert.match(wrong.err, /invalid username, password or second factor/);
    // The code of this period was used up at the signup.
    const code = totp(joe.otpSecret ?? "", 1);
    const said = await cluster.mustTsh(flags, { input: `${joe.password}\n${code}\n` });
    assert.match(said, /Logged in as: +joe/);
    const { user, method, success } = await cluster.event(
      "a login",
      (e) => e.event === "user.login" && e.success === true,
    );
    assert.deepEqual([user, method, success], ["joe", "local", true]);
  });

  test("sees the node", async () => {
    const [header = "", rule = "", row = ""] = (await cluster.mustTsh(["ls"])).split("\n");
    assert.match(header, /^Node Name +Node ID +Address +Labels/);
    assert.match(rule, /^-+ -+/);
    assert.match(
      row,
      new RegExp(`^testnode +[0-9a-f-]{36} +127\\.0\\.0\\.1:${cluster.ports.node} +env=test`),
    );
  });

  test("ACC-79: runs a command, whose exit code is tsh's and whose event tells it", async () => {
    const ran = await cluster.tsh(["ssh", host, "ls /; exit 7"]);
    assert.equal(ran.code, 7, ran.err);
    assert.match(ran.out, /^etc$/m);
    await cluster.mustTsh(["ssh", host, "ls /"]);
    const of = (command: string) =>
      cluster.event(command, (e) => e.event === "exec" && e.command === command);
    const good = await of("ls /");
    assert.deepEqual([good.exitCode, good.exitError, good.user, good.login], [0, "", "joe", login]);
    assert.equal((await of("ls /; exit 7")).exitCode, 7);
  });

  test("works at a shell in a terminal that has the size of the window", async () => {
    const shell = new Terminal(programs.tsh, ["ssh", host], {
      env: { ...quiet, HOME: cluster.home },
      cols: 101,
      rows: 33,
    });
    await using _ = shell;
    // The words of an answer stand alone on a line, which what was typed does not.
    shell.type("stty size; echo one-$((40 + 2))\r");
    await shell.sees(/33 101\r\n/);
    await shell.sees(/one-42\r\n/);
    shell.resize(77, 22);
    await cluster.event("the resize", (e) => e.event === "resize" && e.size === "77:22");
    shell.type("stty size; exit 3\r");
    await shell.sees(/22 77\r\n/);
    assert.equal(await shell.ended(), 3);
  });

  test("ACC-16: which leaves a session.start of whom, where and how large", async () => {
    const start = await cluster.event("session.start", (e) => e.event === "session.start");
    session = String(start.sid);
    assert.match(session, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.deepEqual(
      [start.user, start.login, start.namespace, start.size],
      ["joe", login, "default", "101:33"],
    );
    assert.match(String(start.server_id), /^[0-9a-f-]{36}$/);
    assert.match(String(start["addr.local"]), new RegExp(`:${cluster.ports.node}$`));
    assert.match(String(start["addr.remote"]), /^127\.0\.0\.1:\d+$/);
    assert.match(String(start.uid), /^[0-9a-f-]{36}$/);
    assert.match(String(start.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    await cluster.event("session.end", (e) => e.event === "session.end" && e.sid === session);
  });

  test("ACC-17: and a recording of what the terminal showed, for the owner and the group alone", async () => {
    const [bytes, log] = ["bytes", "log"].map((end) => join(recordings(), `${session}.session.${end}`)) as [
      string,
      string,
    ];
    const shown = await eventually("a complete recording", async () => {
      const text = await readFile(bytes, "utf8");
      return text.includes("22 77") && text;
    });
    assert.match(shown, /one-42\r\n/);
    const lines = (await readFile(log, "utf8")).trimEnd().split("\n");
    for (const line of lines) {
      const { sid, event } = JSON.parse(line) as { sid?: string; event: string };
      assert.equal(sid ?? session, session, event);
    }
    for (const file of [bytes, log]) assert.equal((await stat(file)).mode & 0o777, 0o640, file);
  });

  test("ACC-15: the events of a day are one file, of mode 0640", async () => {
    const folder = join(cluster.dataDir, "log");
    const days = (await readdir(folder)).filter((name) => /^\d{4}-\d\d-\d\d\.00:00:00\.log$/.test(name));
    assert.ok(days.includes(`${new Date().toISOString().slice(0, 10)}.00:00:00.log`), String(days));
    for (const day of days) assert.equal((await stat(join(folder, day))).mode & 0o777, 0o640);
  });

  test("ACC-18: plays the session back, and says so when there is none", async () => {
    const played = await cluster.mustTsh(["play", session]);
    assert.match(played, /one-42/);
    assert.match(played, /end of session playback/);
    const unknown = await cluster.tsh(["play", "00000000-0000-4000-8000-000000000000"]);
    assert.equal(unknown.code, 1, unknown.out);
    assert.match(unknown.err, /not found/);
  });

  test("copies files both ways", async () => {
    const [here, there, back] = ["here", "there", "back"].map((name) => cluster.folder.at(name)) as [
      string,
      string,
      string,
    ];
    const content = randomBytes(3_000_000);
    await writeFile(here, content);
    await cluster.mustTsh(["scp", here, `${host}:${there}`]);
    assert.ok(content.equals(await readFile(there)));
    await cluster.mustTsh(["scp", `${host}:${there}`, back]);
    assert.ok(content.equals(await readFile(back)));
    for (const action of ["write", "read"]) {
      const copied = await cluster.event(`scp ${action}`, (e) => e.event === "scp" && e.action === action);
      assert.deepEqual([copied.path, copied.len], [there, content.length]);
    }
  });

  test("asks how it stands", async () => {
    const said = await cluster.mustTsh(["status"]);
    assert.match(said, new RegExp(`^> Profile URL: +https://127\\.0\\.0\\.1:${cluster.ports.web}$`, "m"));
    assert.match(said, /^ +Logged in as: +joe$/m);
    assert.match(said, /^ +Cluster: +main$/m);
    assert.match(said, new RegExp(`^ +Logins: +${login}$`, "m"));
    assert.match(said, /^ +Valid until: .*\[valid for \d+h/m);
  });

  test("AUTH-44: deleted by an administrator, is refused and cut off within 5 s", async () => {
    await using open = await Program.start(programs.tsh, ["ssh", host, "echo started; exec sleep 600"], {
      env: { ...quiet, HOME: cluster.home },
    });
    await open.line(/started/);
    assert.equal(await cluster.mustTctl("users", "rm", "joe"), "User 'joe' has been deleted\n");
    const deleted = performance.now();
    assert.notEqual(await open.ended(), 0);
    assert.ok(performance.now() - deleted < 5000, `cut off after ${performance.now() - deleted} ms`);
    const again = await cluster.tsh(["ssh", host, "true"]);
    assert.equal(again.code, 1, again.out);
    await cluster.event("user.delete", (e) => e.event === "user.delete" && e.user === "joe");
    assert.equal((await cluster.tctl("get", "user/joe")).code, 1);
  });

  test("logs out, which leaves no key behind", async () => {
    const keys = join(cluster.home, ".tsh/keys/127.0.0.1/joe");
    assert.ok(existsSync(keys));
    assert.equal(await cluster.mustTsh(["logout"]), "Logged out all users from all proxies.\n");
    assert.equal(existsSync(keys), false);
    assert.match(await cluster.mustTsh(["status"]), /^Not logged in\.$/m);
  });
});
