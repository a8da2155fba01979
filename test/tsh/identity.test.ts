import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Keyring, serveAgent } from "#ssh/agent";
import { TestCluster } from "./cluster.ts";
import { shell } from "./shell.ts";

suite("tsh with a login in a file", () => {
  let cluster: TestCluster;
  let proxy: string;
  const at = (name: string): string => join(cluster.home, name);
  const tsh = (...line: string[]) => cluster.tsh(line);

  before(async () => {
    cluster = await TestCluster.start();
    await cluster.node("db", shell);
    await cluster.node("plain", shell, { plain: true });
    proxy = `--proxy=${cluster.proxy},${cluster.sshPort}`;
    assert.equal((await cluster.login("-o", at("id"))).code, 0);
  });
  after(() => cluster[Symbol.asyncDispose]());

  test("TSH-35: is told where it was written, and nobody is logged in", async () => {
    const { out, err, code } = await cluster.login(`--out=${at("another")}`);
    assert.deepEqual(
      [code, out.endsWith(`The certificate has been written to ${at("another")}\n`)],
      [0, true],
      err,
    );
    assert.doesNotMatch(out + err, /PRIVATE KEY|secret/);
    assert.equal((await tsh("status")).out, "Not logged in.\n");
    assert.deepEqual((await readdir(cluster.home)).sort(), ["another", "id"]);
  });

  test("TSH-54: nor is the agent given anything", async () => {
    const ring = new Keyring({ clock: systemClock });
    const server = createServer((socket) => void serveAgent(socket, ring, { peer: "owner" }).catch(() => {}));
    const path = at("agent.sock");
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const line = ["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure", `--out=${at("fresh")}`];
      const { code, err } = await cluster.tsh(line, { input: "secret\n", env: { SSH_AUTH_SOCK: path } });
      assert.equal(code, 0, err);
      assert.deepEqual(await ring.list(), []);
    } finally {
      server.close();
    }
  });

  test("a file that is there stays, before anybody is asked for a password; --overwrite replaces it", async () => {
    const before = await readFile(at("id"), "utf8");
    const asked = cluster.requests.length;
    const { code, err } = await cluster.login(`--out=${at("id")}`);
    assert.deepEqual([code, /is there already; --overwrite replaces it/.test(err)], [1, true]);
    assert.equal(cluster.requests.length, asked);
    assert.equal(await readFile(at("id"), "utf8"), before);
    assert.equal((await cluster.login(`--out=${at("id")}`, "--overwrite")).code, 0);
    assert.notEqual(await readFile(at("id"), "utf8"), before);
  });

  for (const [flags, why] of [
    [["--format=openssh"], /are for what --out writes/],
    [["--overwrite"], /are for what --out writes/],
    [["--out=x", "--format=tls"], /"tls" is not one of file, openssh/],
    [["--out=x", "-i", "y"], /^error: -i flag cannot be used here\n$/],
  ] as const) {
    test(`wrong usage: tsh login ${flags.join(" ")}`, async () => {
      const { code, err } = await cluster.login(...flags);
      assert.equal(code, 2);
      assert.match(err, why);
    });
  }

  test("who may log in nowhere gets no file", async () => {
    cluster.logins = [];
    try {
      const { code, err } = await cluster.login(`--out=${at("none")}`);
      assert.deepEqual([code, /allowed no login anywhere/.test(err)], [1, true]);
      assert.equal((await readdir(cluster.home)).includes("none"), false);
    } finally {
      cluster.logins = ["root", "joe"];
    }
  });

  test("TSH-05: -i before the command or behind it, and as ssh and scp have it", async () => {
    for (const line of [
      [proxy, "-i", at("id"), "ssh", "root@db", "echo"],
      ["ssh", proxy, "--identity", at("id"), "root@db", "echo"],
    ])
      assert.equal((await tsh(...line)).out, "echo", line.join(" "));
    const { out } = await tsh("ssh", proxy, "-i", at("id"), "root@db", "ls", "-i", "x");
    assert.equal(out, "ls -i x", "behind the host it is the command's");
  });

  test("TSH-55: an expired one warns, and the proxy refuses it", async () => {
    cluster.loginLife = -60_000;
    try {
      await cluster.login(`--out=${at("old")}`);
    } finally {
      cluster.loginLife = 3_600_000;
    }
    const { code, err } = await tsh(proxy, "-i", at("old"), "ssh", "root@db", "echo");
    assert.equal(code, 1);
    assert.match(
      err,
      /^WARNING: the certificate has expired on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n.*\nerror: .*does not accept/s,
    );
    assert.match((await tsh("-i", at("old"), "status")).out, /\[EXPIRED\]/);
  });

  test("TSH-55: without its TLS part ssh works, and what asks the auth service says why it cannot", async () => {
    const whole = await readFile(at("id"), "utf8");
    await writeFile(at("ssh-only"), whole.slice(0, whole.indexOf("-----BEGIN PRIVATE KEY")));
    assert.equal((await tsh(proxy, "-i", at("ssh-only"), "ssh", "root@db", "echo")).out, "echo");
    const { code, err } = await tsh(proxy, "-i", at("ssh-only"), "ls");
    assert.deepEqual([code, /there is no TLS certificate for joe/.test(err)], [1, true]);
  });

  test("S30: a host of another authority than the file names is not spoken to", async () => {
    const whole = await readFile(at("id"), "utf8");
    const [, foreign] = /^(ssh-ed25519 \S+)/m.exec(cluster.userAuthority) ?? [];
    await writeFile(
      at("foreign"),
      whole.replace(/(@cert-authority \*\.main) ssh-ed25519 \S+/, `$1 ${foreign}`),
    );
    const { code, err } = await tsh(proxy, "-i", at("foreign"), "ssh", "root@db", "echo");
    assert.deepEqual([code, /is not the proxy that you logged in to/.test(err)], [1, true], err);
  });

  test("a host without a certificate is refused where nobody can be asked", async () => {
    const { code, err } = await tsh(proxy, "-i", at("id"), "ssh", "root@plain", "echo");
    assert.deepEqual([code, /cannot be told from an impostor/.test(err)], [1, true], err);
  });

  test("TSH-25: one that the person trusts is remembered, also where nobody ever logged in", async () => {
    const trusting = ["ssh", "-o", "StrictHostKeyChecking=accept-new", "root@plain", "echo"];
    const first = await tsh(proxy, "-i", at("id"), ...trusting);
    assert.deepEqual([first.code, first.out], [0, "echo"], first.err);
    assert.match(first.err, /nobody verified the key of plain/);
    const again = await tsh(proxy, "-i", at("id"), "ssh", "root@plain", "echo");
    assert.deepEqual([again.code, again.out], [0, "echo"], again.err);
    assert.match(await readFile(at(".tsh/known_hosts"), "utf8"), /^plain:\d+@main ssh-ed25519 \S+\n$/);
  });

  test("the proxy is that of --proxy, of TELEPORT_PROXY, or of a login to the same cluster", async () => {
    const line = ["-i", at("id"), "ssh", "root@db", "echo"];
    const nowhere = await tsh(...line);
    assert.deepEqual([nowhere.code, /does not say where the proxy of main is/.test(nowhere.err)], [2, true]);
    const env = { TELEPORT_PROXY: proxy.replace("--proxy=", "") };
    assert.equal((await cluster.tsh(line, { env })).out, "echo");

    await cluster.login();
    assert.equal((await tsh(...line)).out, "echo");
    // The port that the proxy advertised counts where only its web port is named.
    assert.equal((await tsh(`--proxy=${cluster.proxy}`, ...line)).out, "echo");

    const profile = at(".tsh/127.0.0.1.yaml");
    await writeFile(
      profile,
      (await readFile(profile, "utf8")).replace("root_cluster: main", "root_cluster: east"),
    );
    const other = await tsh(...line);
    assert.deepEqual([other.code, /127\.0\.0\.1 is the proxy of another cluster/.test(other.err)], [2, true]);
    await tsh("logout");
  });

  test("status for programs", async () => {
    const { out } = await tsh("-i", at("id"), "status", "--format=json");
    const [{ user, cluster: name, roles, logins, expired }] = JSON.parse(out);
    assert.deepEqual(
      [user, name, roles, logins, expired],
      ["joe", "main", ["admin"], ["root", "joe"], false],
    );
  });

  test("tsh -i FILE config writes what OpenSSH needs beside the file, and tells nobody to put it into ~/.tsh", async () => {
    const { out, code, err } = await tsh(proxy, "-i", at("id"), "config");
    assert.equal(code, 0, err);
    assert.ok(
      out.includes(`IdentityFile "${at("id")}"`) && out.includes(`CertificateFile "${at("id")}-cert.pub"`),
    );
    assert.doesNotMatch(out, /\.tsh/);
    assert.match(
      await readFile(at("id-known_hosts"), "utf8"),
      /^@cert-authority \*\.main,remote\.kube\.proxy\S* ssh-ed25519 /,
    );
    assert.match(await readFile(at("id-cert.pub"), "utf8"), /^ssh-ed25519-cert-v01@openssh\.com \S+\n$/);
    const agent = await tsh(proxy, "-i", at("id"), "config", "--agent");
    assert.deepEqual([agent.code, /leave --agent or -i out/.test(agent.err)], [2, true]);
  });
});
