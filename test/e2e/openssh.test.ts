import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { skipUnless } from "../support/installed.ts";
import { Program } from "../support/program.ts";
import { mustRun, type Ran, run } from "../support/run.ts";
import { startSshd } from "../support/sshd.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";
import { writeGuideConfig } from "./guide-config.ts";

const missing = skipUnless("ssh", "sshd", "scp", "ssh-agent", "ssh-add", "ssh-keygen");

suite("stock OpenSSH, with the admin guide's commands", { skip: missing }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let env: Record<string, string | undefined>;
  let sshConfig: string;
  const node = "testnode.main";
  const file = (name: string): string => cluster.folder.at(name);

  before(async () => {
    cluster = stack.use(await startCluster());
    await cluster.makeUser("joe");
    const agent = stack.use(await Program.start("ssh-agent", ["-D", "-a", file("agent")]));
    await agent.line(/SSH_AUTH_SOCK/);
    env = { ...quiet, HOME: cluster.home, SSH_AUTH_SOCK: file("agent") };
  });
  after(() => stack.disposeAsync());

  const ssh = (...args: string[]): Promise<Ran> => run("ssh", ["-F", sshConfig, ...args], { env });

  test("ACC-48: eval ssh-agent, and tsh login puts the certificate into the agent", async () => {
    const script = [
      "eval `ssh-agent` > /dev/null",
      "trap 'ssh-agent -k > /dev/null' EXIT",
      '"$TSH" --insecure --proxy="$PROXY" --user=joe login > /dev/null && ssh-add -L',
    ];
    const lines = await mustRun("sh", ["-c", script.join("\n")], {
      env: { ...quiet, HOME: file("another-home"), TSH: programs.tsh, PROXY: cluster.proxy },
      input: "correct horse\n",
    });
    assert.match(lines, /^ssh-ed25519-cert-v01@openssh\.com \S+ teleport:joe$/m);
  });

  test("ACC-26a: tsh login with the user's name in the place of the cluster, an agent running", async () => {
    const said = await cluster.mustTsh(["login", "--insecure", `--proxy=${cluster.proxy}`, "joe"], {
      env,
      input: "correct horse\n",
    });
    assert.match(said, /Logged in as: +joe/);
  });

  test("ACC-26b: ssh-add -L shows the certificate", async () => {
    const lines = await mustRun("ssh-add", ["-L"], { env });
    assert.match(lines, /^ssh-ed25519-cert-v01@openssh\.com \S+ teleport:joe$/m);
  });

  test("ACC-20: tctl auth export --type=user is a line for authorized_keys", async () => {
    const line = await cluster.mustTctl("auth", "export", "--type=user");
    assert.match(line, /^cert-authority ssh-ed25519 [\w+/]+=* clustername=main&type=user\n$/);
    await writeFile(file("authorized_keys"), line);
    await using sshd = await startSshd({
      config: [`AuthorizedKeysFile ${file("authorized_keys")}`, "TrustedUserCAKeys none"],
    });
    await comesIn(sshd);
  });

  test("ACC-21, ACC-51: which without its first word sshd takes as TrustedUserCAKeys", async () => {
    const line = await cluster.mustTctl("auth", "export", "--type=user");
    await writeFile(file("teleport-user-ca.pub"), line.replace(/^cert-authority /, ""));
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${file("teleport-user-ca.pub")}`] });
    await comesIn(sshd);
  });

  async function comesIn(sshd: Awaited<ReturnType<typeof startSshd>>): Promise<void> {
    const there = await run(
      "ssh",
      [
        ...["-F", "none", "-p", String(sshd.port), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"],
        ...["-o", `UserKnownHostsFile=${sshd.authorities.knownHosts}`, `${login}@127.0.0.1`, "echo in"],
      ],
      { env },
    );
    assert.deepEqual([there.code, there.out], [0, "in\n"], there.err + sshd.log());
  }

  test("ACC-45, ACC-46: tctl auth export --type=host is a line for known_hosts", async () => {
    const line = await cluster.mustTctl("auth", "export", "--type=host");
    assert.match(line, /^@cert-authority \*\.main ssh-ed25519 [\w+/]+=* type=host\n$/);
    sshConfig = await writeGuideConfig(cluster);
  });

  test("ACC-47, ACC-49: ssh reaches the node by the proxy, which no DNS knows, and asks about no host key", async () => {
    const there = await ssh(node, "echo to the node; exit 5");
    assert.deepEqual([there.code, there.out], [5, "to the node\n"], there.err);
    assert.doesNotMatch(there.err, /authenticity|Warning/i);
  });

  test("ACC-49: with the cluster named behind the port, where a cluster of another name is none", async () => {
    const named = await writeGuideConfig(cluster, { suffix: "@main" });
    const there = await run("ssh", ["-F", named, node, "echo in main"], { env });
    assert.deepEqual([there.code, there.out], [0, "in main\n"], there.err);
    const elsewhere = await writeGuideConfig(cluster, { suffix: "@elsewhere" });
    const nowhere = await run("ssh", ["-F", elsewhere, node, "true"], { env });
    assert.equal(nowhere.code, 255, nowhere.out);
    assert.match(nowhere.err, /unknown cluster "elsewhere"/);
  });

  test("ACC-49: and says so in one sentence when there is no such node", async () => {
    const there = await ssh("nowhere.main", "true");
    assert.equal(there.code, 255, there.out);
    assert.match(there.err, /nowhere/);
  });

  test("ACC-49: or by the proxy as a jump host", async () => {
    const there = await ssh("-J", "jump", node, "echo by a jump");
    assert.deepEqual([there.code, there.out], [0, "by a jump\n"], there.err);
  });

  test("ACC-50: a shell in a terminal; by its address the host is not verified", async () => {
    await using shell = new Terminal("ssh", ["-F", sshConfig, node], { env });
    shell.type("echo here-$((6 * 7)); exit 4\r");
    await shell.sees(/here-42\r\n/);
    assert.equal(await shell.ended(), 4);

    const byAddress = await ssh("by-address", "true");
    assert.equal(byAddress.code, 255, byAddress.out);
    assert.match(byAddress.err, /Host key verification failed/);
  });

  test("a login that the certificate does not name is refused, and why it was is in the log", async () => {
    const there = await ssh("-l", "stranger", node, "true");
    assert.equal(there.code, 255, there.out);
    const { success, login: asked } = await cluster.event("a refusal", (e) => e.event === "auth");
    assert.deepEqual([success, asked], ["false", "stranger"]);
  });

  for (const [protocol, flags] of [
    ["SFTP", []],
    ["its old protocol", ["-O"]],
  ] as const) {
    test(`scp by ${protocol} copies both ways`, async () => {
      const content = randomBytes(1_000_000);
      await writeFile(file("here"), content);
      const scp = (from: string, to: string) =>
        mustRun("scp", [...flags, "-q", "-F", sshConfig, from, to], { env });
      await scp(file("here"), `${node}:${file("there")}`);
      assert.ok(content.equals(await readFile(file("there"))));
      await scp(`${node}:${file("there")}`, file("back"));
      assert.ok(content.equals(await readFile(file("back"))));
    });
  }

  test("a file that was copied by SFTP is in the audit log", async () => {
    const event = await cluster.event("the upload", (e) => e.event === "sftp" && e.action === "write");
    assert.deepEqual(
      [event.path, event.len, event.user, event.success],
      [file("there"), 1_000_000, "joe", true],
    );
  });

  test("S63: no files and no commands at the proxy, whose own subsystems are all it has", async () => {
    for (const args of [
      ["-s", "jump", "sftp"],
      ["jump", "true"],
      ["-T", "jump"],
    ]) {
      const there = await ssh(...args);
      assert.notEqual(there.code, 0, there.out);
      assert.equal(there.out, "");
      assert.doesNotMatch(there.err, /Host key|Permission denied|Connection refused/);
    }
  });

  test("ssh-keygen reads the certificate that tsh keeps", async () => {
    const kept = `${cluster.home}/.tsh/keys/127.0.0.1/joe-cert.pub`;
    const said = await mustRun("ssh-keygen", ["-L", "-f", kept]);
    assert.match(said, /Type: ssh-ed25519-cert-v01@openssh\.com user certificate/);
    assert.match(said, /Key ID: "joe"/);
    assert.match(said, new RegExp(`Principals: \\n +${login}\\n`));
  });
});
