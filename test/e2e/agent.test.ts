import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { isAlive } from "../support/processes.ts";
import { Program } from "../support/program.ts";
import { mustRun, type Ran, run } from "../support/run.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

const missing = skipUnless("ssh", "ssh-add", "ssh-keygen");

suite("an agent of tsh's own", { skip: missing }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let env: Record<string, string | undefined>;
  let socket: string;

  before(async () => {
    cluster = stack.use(await startCluster());
    await cluster.makeUser("joe");
    const home = cluster.folder.at("a home");
    await mkdir(home);
    env = { ...quiet, HOME: home, SHELL: "/bin/sh" };
    socket = `${home}/.tsh/agent.sock`;
    stack.defer(async () => void (await run(programs.tsh, ["agent", "stop"], { env })));
    const askpass = cluster.folder.at("askpass");
    await writeFile(askpass, '#!/bin/sh\necho "$PASSPHRASE"\n');
    await chmod(askpass, 0o755);
    Object.assign(env, { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: "force" });
  });
  after(() => stack.disposeAsync());

  const tsh = (...args: string[]): Promise<string> => mustRun(programs.tsh, args, { env });
  const sshAdd = (args: readonly string[], more: object = {}): Promise<Ran> =>
    run("ssh-add", args, { env: { ...env, SSH_AUTH_SOCK: socket, ...more } });
  const listed = async (): Promise<string[]> => {
    const { code, out } = await sshAdd(["-L"]);
    return code === 0 ? out.trimEnd().split("\n") : [];
  };

  test("is started by eval as ssh-agent is, once, and only its owner can use it", async () => {
    const script = 'eval "$("$TSH" agent)" > /dev/null; echo "$SSH_AUTH_SOCK $SSH_AGENT_PID"';
    const first = await mustRun("sh", ["-c", script], { env: { ...env, TSH: programs.tsh } });
    assert.match(first, new RegExp(`^${socket} \\d+\n$`));
    assert.equal(await mustRun("sh", ["-c", script], { env: { ...env, TSH: programs.tsh } }), first);
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    const pid = /\d+$/m.exec(first)?.[0];
    assert.equal(
      await tsh("agent", "-c"),
      `setenv SSH_AUTH_SOCK '${socket}';\nsetenv SSH_AGENT_PID ${pid};\necho Agent pid ${pid};\n`,
    );
    const second = await run(programs.tsh, ["agent", "-D"], { env });
    assert.equal(second.code, 1, second.out);
    assert.match(second.err, /an agent listens on .* already/);
  });

  test("holds no key before a login, and the certificate after it, without a warning", async () => {
    assert.deepEqual(await listed(), []);
    assert.match((await sshAdd(["-l"])).out, /The agent has no identities/);
    const more = { env: { ...env, SSH_AUTH_SOCK: socket } };
    assert.match(await cluster.logIn("joe", more), /Logged in as: +joe/);
    const said = await run(programs.tsh, ["logout"], more);
    assert.equal(said.err, "");
    assert.deepEqual(await listed(), []);
    const again = await cluster.tsh(["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=joe"], {
      ...more,
      input: "correct horse\n",
    });
    assert.doesNotMatch(again.err, /agent/);
    const [certificate, plain, ...others] = await listed();
    assert.match(certificate ?? "", /^ssh-ed25519-cert-v01@openssh\.com \S+ teleport:joe$/);
    assert.match(plain ?? "", /^ssh-ed25519 \S+ teleport:joe$/);
    assert.deepEqual(others, []);
  });

  test("is what stock ssh logs in with, by the configuration that names it", async () => {
    const printed = await tsh("config", "--agent", `--port=${cluster.ports.node}`);
    // Without the key's file there is only the agent's.
    const config = cluster.folder.at("ssh_config.agent");
    await writeFile(config, printed.replace(/^ +(IdentityFile|CertificateFile|IdentitiesOnly) .*\n/gm, ""));
    const ssh = ["-F", config, "-o", "BatchMode=yes", "testnode.main"];
    assert.equal(await mustRun("ssh", [...ssh, "echo in"], { env }), "in\n");
    // OpenSSH binds the connection that it forwards, and from then on it may only list and sign.
    const far = await run("ssh", ["-A", ...ssh, "ssh-add -L; ssh-add -D"], { env });
    assert.match(far.out, /teleport:joe/);
    assert.match(far.err, /Failed to remove all identities/);
    assert.equal((await listed()).length, 2);
  });

  test("S60: takes no other key, confirmed, restricted or not, and no library", async () => {
    const key = cluster.folder.at("key");
    await mustRun("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const known = cluster.folder.at("known_destinations");
    await writeFile(known, `example.com ${await readFile(`${key}.pub`, "utf8")}`);
    for (const args of [
      [key],
      ["-c", key],
      ["-t", "60", key],
      ["-H", known, "-h", "example.com", key],
      ["-s", "/lib/evil.so"],
    ]) {
      const { code, err } = await sshAdd(args, { PASSPHRASE: "" });
      assert.notEqual(code, 0, args.join(" "));
      assert.match(err, /refused/, args.join(" "));
    }
    assert.equal((await listed()).length, 2);
  });

  test("is locked with a passphrase and opened with that one only", async () => {
    assert.equal((await sshAdd(["-x"], { PASSPHRASE: "open sesame" })).code, 0);
    assert.deepEqual(await listed(), []);
    assert.notEqual((await sshAdd(["-D"])).code, 0);
    assert.notEqual((await sshAdd(["-X"], { PASSPHRASE: "open barley" })).code, 0);
    assert.deepEqual(await listed(), []);
    assert.equal((await sshAdd(["-X"], { PASSPHRASE: "open sesame" })).code, 0);
    assert.equal((await listed()).length, 2);
  });

  test("forgets what is removed until the next login, and everything at logout", async () => {
    assert.equal((await sshAdd(["-D"])).code, 0);
    assert.deepEqual(await listed(), []);
    await tsh("logout");
    await cluster.logIn("joe", { env });
    assert.equal((await listed()).length, 2);
    await tsh("logout");
    assert.deepEqual(await listed(), []);
  });

  test("is stopped by its own word, and again in the foreground by a signal; no socket stays", async () => {
    const [, pid] = /SSH_AGENT_PID=(\d+)/.exec(await tsh("agent")) ?? [];
    assert.equal(
      await tsh("agent", "stop"),
      `unset SSH_AUTH_SOCK;\nunset SSH_AGENT_PID;\necho Agent pid ${pid} killed;\n`,
    );
    await eventually("an end of the agent", () => !isAlive(Number(pid)));
    await assert.rejects(stat(socket), { code: "ENOENT" });
    const none = await run(programs.tsh, ["agent", "-k"], { env });
    assert.deepEqual([none.code, none.out], [1, ""]);
    assert.match(none.err, /no agent listens on/);

    const other = cluster.folder.at("other socket");
    {
      await using foreground = await Program.start(programs.tsh, ["agent", "-D", `--socket=${other}`], {
        env,
      });
      await foreground.line(new RegExp(`SSH_AUTH_SOCK='${other}'`));
      // One that was killed leaves its socket behind; the next takes its place.
      foreground.kill("SIGKILL");
      await foreground.ended();
    }
    await stat(other);
    await using next = await Program.start(programs.tsh, ["agent", "-D", `--socket=${other}`], { env });
    await next.line(/SSH_AGENT_PID/);
    next.kill("SIGTERM");
    assert.equal(await next.ended(), 0);
    await assert.rejects(stat(other), { code: "ENOENT" });
  });

  test("ACC-93: one that takes no certificates, as some desktops have, is warned of; the login is good without it", async () => {
    const path = cluster.folder.at("desktop");
    const asked: string[] = [];
    await using desktop = createServer((socket) => answerAsDesktop(socket, asked)).listen(path);
    await once(desktop, "listening");
    const login = ["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=joe"];
    const said = await cluster.tsh(login, { env: { ...env, SSH_AUTH_SOCK: path }, input: "correct horse\n" });
    assert.equal(said.code, 0, said.err);
    assert.match(said.err, /WARNING: the SSH agent did not take the certificate/m);
    assert.ok(
      asked.some((type) => type.includes("-cert-")),
      asked.join(" "),
    );
    assert.equal(await tsh("ssh", "testnode", "echo in"), "in\n");
  });
});

/** Of draft-ietf-sshm-ssh-agent: plain keys are taken, certificates fail; the list is empty. */
function answerAsDesktop(socket: Socket, asked: string[]): void {
  let held = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (part: Buffer) => {
    held = Buffer.concat([held, part]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
      const message = held.subarray(4, 4 + held.readUInt32BE(0));
      held = held.subarray(4 + message.length);
      const adds = [17, 25].includes(message[0] ?? 0);
      const type = adds ? message.toString("latin1", 5, 5 + message.readUInt32BE(1)) : "";
      if (adds) asked.push(type);
      const answer = message[0] === 11 ? [12, 0, 0, 0, 0] : [type.includes("-cert-") ? 5 : 6];
      socket.write(Buffer.from([0, 0, 0, answer.length, ...answer]));
    }
  });
}
