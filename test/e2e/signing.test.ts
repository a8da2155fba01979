// Service accounts and hosts that are no members: keys and certificates in files, by the commands.
import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { mustRun, type Ran, type RunOptions, run } from "../support/run.ts";
import { startSshd } from "../support/sshd.ts";
import { type Cluster, login, password, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

const missing = skipUnless("ssh", "sshd", "scp", "ssh-keygen");

suite("keys and certificates in files", { skip: missing }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  /** A machine that nobody logs in on: its home stays empty. */
  let env: Record<string, string | undefined>;
  let folder: string;
  const file = (name: string): string => `${folder}/${name}`;

  before(async () => {
    cluster = stack.use(await startCluster());
    folder = cluster.folder.at("files");
    env = { ...quiet, HOME: cluster.folder.at("empty") };
    await Promise.all([folder, cluster.folder.at("empty")].map((path) => mkdir(path)));
    await account("ci", [login]);
    await cluster.mustTctl("auth", "sign", "--user=ci", `--out=${file("ci")}`);
  });
  after(() => stack.disposeAsync());

  /** As docs/service-accounts.md has it: one that has no password. */
  async function account(name: string, logins: readonly string[]): Promise<void> {
    const user = `kind: user\nversion: v2\nmetadata: {name: ${name}}\nspec:\n  roles: [admin]\n  traits: {logins: [${logins}]}\n`;
    await writeFile(file(`${name}.yaml`), user);
    await cluster.mustTctl("create", "-f", file(`${name}.yaml`));
  }
  const tctl = (...args: string[]): Promise<string> =>
    mustRun(programs.tctl, ["-c", cluster.config, ...args], { env, cwd: folder });
  const tsh = (args: readonly string[], more: RunOptions = {}): Promise<Ran> =>
    run(programs.tsh, [`--proxy=${cluster.proxy}`, ...args], { ...more, env: { ...env, ...more.env } });
  const asCi = (...args: string[]): Promise<Ran> => tsh(["-i", file("ci"), ...args]);
  const facts = async (path: string): Promise<string> => mustRun("ssh-keygen", ["-L", "-f", path]);
  const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

  test("ACC-23: tctl auth sign --host makes a pair for sshd, by the host CA, without end", async () => {
    await tctl("auth", "sign", "--host=node.example.com", "--format=openssh");
    const said = await facts(file("node.example.com-cert.pub"));
    assert.match(said, /Type: ssh-ed25519-cert-v01@openssh\.com host certificate\n/);
    assert.match(said, /Valid: after \S+\n/, "nothing but a beginning");
    assert.match(said, /Principals: \n +node\.example\.com\n +Critical Options: \(none\)\n/);
    const [, signer] = /Signing CA: ED25519 (\S+)/.exec(said) ?? [];
    const { keys } = JSON.parse(await tctl("auth", "ls", "--format=json")).find(
      (ca: { type: string }) => ca.type === "host",
    );
    assert.equal(signer, keys[0].fingerprint);
    for (const name of ["node.example.com", "node.example.com-cert.pub"])
      assert.equal(await modeOf(file(name)), "600");
  });

  test("ACC-23: which sshd serves, known to clients by tctl auth export --type=host alone", async () => {
    const line = await tctl("auth", "export", "--type=host");
    await writeFile(file("known_hosts"), line.replace("*.main", "*.example.com"));
    await using sshd = await startSshd({
      plain: true,
      config: [`HostKey ${file("node.example.com")}`, `HostCertificate ${file("node.example.com-cert.pub")}`],
    });
    const as = (name: string): Promise<Ran> =>
      run("ssh", [
        ...sshd.clientOptions.flatMap((one) =>
          one.startsWith("UserKnownHostsFile") ? [`UserKnownHostsFile=${file("known_hosts")}`] : [one],
        ),
        ...["-o", `HostKeyAlias=${name}`, `${sshd.login}@127.0.0.1`, "echo known"],
      ]);
    const there = await as("node.example.com");
    assert.deepEqual([there.code, there.out], [0, "known\n"], there.err);
    const other = await as("other.example.com");
    assert.equal(other.code, 255, other.out);
  });

  for (const keyType of ["rsa", "ecdsa"]) {
    test(`--key-type=${keyType} makes a pair that sshd serves and a pair that it lets in`, async () => {
      await tctl(
        "auth",
        "sign",
        "--host=127.0.0.1,localhost",
        `--out=${keyType}-host`,
        `--key-type=${keyType}`,
      );
      await tctl(
        "auth",
        "sign",
        "--user=ci",
        `--out=${keyType}-ci`,
        "--format=openssh",
        `--key-type=${keyType}`,
      );
      await writeFile(
        file("user-ca"),
        (await tctl("auth", "export", "--type=user")).replace("cert-authority ", ""),
      );
      await writeFile(
        file("host-ca"),
        (await tctl("auth", "export", "--type=host")).replace("*.main", "127.0.0.1"),
      );
      await using sshd = await startSshd({
        plain: true,
        config: [
          `HostKey ${file(`${keyType}-host`)}`,
          `HostCertificate ${file(`${keyType}-host-cert.pub`)}`,
          `TrustedUserCAKeys ${file("user-ca")}`,
        ],
      });
      const there = await run("ssh", [
        ...["-F", "none", "-p", String(sshd.port), "-i", file(`${keyType}-ci`), "-o", "IdentitiesOnly=yes"],
        ...[
          "-o",
          `UserKnownHostsFile=${file("host-ca")}`,
          "-o",
          "StrictHostKeyChecking=yes",
          "-o",
          "BatchMode=yes",
        ],
        ...[`${login}@127.0.0.1`, "echo in"],
      ]);
      assert.deepEqual([there.code, there.out], [0, "in\n"], there.err + sshd.log());
    });
  }

  test("TSH-55: tsh -i runs a command, on a machine without a home of its own", async () => {
    const there = await asCi("ssh", `${login}@testnode`, "echo $USER; exit 3");
    assert.deepEqual([there.code, there.out], [3, `${login}\n`], there.err);
    const { user } = await cluster.event("the command", (e) => e.event === "exec" && e.user === "ci");
    assert.equal(user, "ci");
  });

  test("TSH-05: tsh -i with ls, clusters, scp, status, and by labels, before the command and behind it", async () => {
    assert.match((await asCi("ls")).out, /^testnode /m);
    assert.match((await tsh(["ls", "-i", file("ci"), "--format=json"])).out, /"hostname": "testnode"/);
    assert.equal((await asCi("clusters", "-q")).out, "main online\n");
    await writeFile(file("here"), "content");
    const copied = await asCi("scp", "-q", file("here"), `${login}@testnode:${file("there")}`);
    assert.equal(copied.code, 0, copied.err);
    assert.equal(await readFile(file("there"), "utf8"), "content");
    const labelled = await asCi("ssh", `${login}@env=test`, "echo by label");
    assert.match(labelled.out, /by label/);
    const status = await run(programs.tsh, ["-i", file("ci"), "status"], { env });
    assert.match(status.out, /^> Logged in as: ci\n {2}Cluster: +main\n/);
  });

  test("a home without a login stays as it was", async () => {
    assert.deepEqual(await readdir(env.HOME ?? ""), []);
  });

  test("TSH-35: tsh login --out writes an identity, and leaves the profile alone", async () => {
    await cluster.makeUser("joe");
    const out = file("joe");
    const made = await tsh(["--insecure", "--user=joe", "--ttl=60", "login", `--out=${out}`], {
      input: `${password}\n`,
    });
    assert.deepEqual(
      [made.code, made.out.endsWith(`The certificate has been written to ${out}\n`)],
      [0, true],
      made.err,
    );
    assert.equal(await modeOf(out), "600");
    assert.deepEqual(await readdir(env.HOME ?? ""), []);
    const there = await tsh(["-i", out, "ssh", `${login}@testnode`, "echo by a file"]);
    assert.deepEqual([there.code, there.out], [0, "by a file\n"], there.err);

    const pair = await tsh(["--insecure", "--user=joe", "login", "-o", file("pair"), "--format=openssh"], {
      input: `${password}\n`,
    });
    assert.equal(pair.code, 0, pair.err);
    assert.match(await facts(file("pair-cert.pub")), /Key ID: "joe"/);
  });

  test("stock ssh by tsh -i FILE config, as Ansible uses it, and by a configuration of one's own", async () => {
    const made = await asCi("config");
    assert.equal(made.code, 0, made.err);
    await writeFile(file("ssh_config"), made.out);
    const ssh = (config: string, ...args: string[]): Promise<Ran> =>
      run("ssh", ["-F", config, "-o", "BatchMode=yes", ...args], { env });
    const port = ["-p", String(cluster.ports.node)];
    const there = await ssh(file("ssh_config"), ...port, "testnode.main", "echo by ssh");
    assert.deepEqual([there.code, there.out], [0, "by ssh\n"], there.err);

    await tctl("auth", "sign", "--user=ci", "--out=plain", "--format=openssh");
    const hosts = await tctl("auth", "export", "--type=host");
    await writeFile(file("hosts"), hosts + hosts.replace("*.main", "127.0.0.1"));
    const common = `  IdentityFile ${file("plain")}\n  IdentitiesOnly yes\n  UserKnownHostsFile ${file("hosts")}\n`;
    await writeFile(
      file("own_config"),
      [
        `Host *.main\n  User ${login}\n  Port ${cluster.ports.node}\n${common}`,
        `  ProxyCommand ssh -F ${file("own_config")} -p ${cluster.ports.proxy} %r@127.0.0.1 -s proxy:%h:%p\n`,
        `Host 127.0.0.1\n${common}`,
      ].join(""),
    );
    const own = await ssh(file("own_config"), "testnode.main", "echo by the pair");
    assert.deepEqual([own.code, own.out], [0, "by the pair\n"], own.err);
  });

  test("TSH-55: what is no identity is refused in one sentence", async () => {
    await writeFile(file("half"), (await readFile(file("ci"), "utf8")).slice(0, 300), { mode: 0o600 });
    await writeFile(file("open"), await readFile(file("ci")));
    await chmod(file("open"), 0o644);
    for (const [name, why] of [
      ["nothing", /^error: there is no file .*nothing\n$/],
      [
        "half",
        /^error: .*half is no identity that can be used: it breaks off in the block that begins at line 1\n$/,
      ],
      ["open", /^error: other users can read the private key in .*open \(its mode is 0644\).*chmod 600/],
      ["plain", /^error: .*plain is no identity that can be used: it has no @cert-authority lines/],
      ["ci.yaml", /^error: .*ci\.yaml/],
    ] as const) {
      const { code, err } = await tsh(["-i", file(name), "ssh", "testnode", "true"]);
      assert.match(err, why);
      assert.notEqual(code, 0);
      assert.equal(err.trim().split("\n").length, 1, err);
    }
  });

  test("TSH-35: with what is about the home -i is wrong usage", async () => {
    for (const command of [["login"], ["logout"], ["agent"]]) {
      const { code, err } = await asCi(...command);
      assert.deepEqual([code, err], [2, "error: -i flag cannot be used here\n"]);
    }
    const { code, err } = await run(programs.tsh, ["-i", file("ci"), "ls"], { env });
    assert.deepEqual([code, /where the proxy of main is; name it with --proxy=HOST/.test(err)], [2, true]);
  });

  test("an account that is removed is let in no longer, however long its certificate lives", async () => {
    await account("gone", [login]);
    await tctl("auth", "sign", "--user=gone", "--out=gone", "--ttl=8760h");
    const attempt = (): Promise<Ran> => tsh(["-i", file("gone"), "ssh", `${login}@testnode`, "true"]);
    assert.equal((await attempt()).code, 0);
    await cluster.mustTctl("users", "rm", "gone");
    await eventually("a refusal", async () => (await attempt()).code === 1);
  });

  test("who signed for whom, and who took out private keys, is in the audit log", async () => {
    const events = await cluster.events();
    const signed = events.filter((e) => e.event === "cert.create");
    assert.ok(signed.every((e) => e.user === "builtin-Admin" && e.code === "T4160I"));
    const ci = signed.find((e) => e.account === "ci");
    assert.deepEqual([ci?.kind, ci?.names, ci?.ttl], ["user", [login], "12h0m0s"]);
    const host = signed.find((e) => e.kind === "host");
    assert.deepEqual([host?.names, host?.expires], [["node.example.com"], undefined]);
    assert.match(await facts(file("node.example.com-cert.pub")), new RegExp(`Serial: ${host?.serial}\\n`));
    await tctl("auth", "sign", "--user=nobody", "--out=nobody").catch(() => {});
    await cluster.event("the refusal", (e) => e.code === "T4160W" && e.account === "nobody");
    assert.match(await tctl("auth", "export", "--type=user", "--keys"), /PRIVATE KEY/);
    const { user } = await cluster.event("the export", (e) => e.event === "ca.export");
    assert.equal(user, "builtin-Admin");
    assert.doesNotMatch(JSON.stringify(await cluster.events()) + cluster.daemon.program.said, /PRIVATE KEY/);
  });
});
