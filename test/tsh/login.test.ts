import assert from "node:assert/strict";
import { mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Keyring, serveAgent } from "#ssh/agent";
import { TestCluster } from "./cluster.ts";
import { shell } from "./shell.ts";

suite("tsh login, logout and status", () => {
  let cluster: TestCluster;
  const start = async (): Promise<void> => {
    cluster = await TestCluster.start();
    await cluster.node("db", shell);
  };
  const stop = (): Promise<void> => cluster[Symbol.asyncDispose]();

  suite("login", () => {
    beforeEach(start);
    afterEach(stop);
    test("keeps keys and profile where only their owner reads them, and says how it stands", async () => {
      const { code, out, err } = await cluster.login();
      assert.equal(code, 0, err);
      assert.match(
        out,
        /^> Profile URL: {2}https:\/\/127\.0\.0\.1:\d+\n {2}Logged in as:joe|Logged in as: joe\n/,
      );
      assert.match(out, /Cluster: {6}main\n.*Roles: {8}admin\n.*Logins: {7}root, joe\n/s);
      assert.match(out, /Valid until: {2}\S+Z \[valid for (1h0m0s|59m5\ds)\]/);
      assert.equal(err.split("WARNING").length, 2, "one warning for --insecure");
      assert.doesNotMatch(out + err, /secret/);
      const tsh = join(cluster.home, ".tsh");
      assert.deepEqual((await readdir(join(tsh, "keys", "127.0.0.1"))).sort(), [
        "certs.pem",
        "joe",
        "joe-cert.pub",
        "joe-x509-key.pem",
        "joe-x509.pem",
        "joe.pub",
        "known_hosts",
      ]);
      for (const [name, mode] of [
        [".", 0o700],
        ["keys", 0o700],
        ["keys/127.0.0.1", 0o700],
        ["keys/127.0.0.1/joe", 0o600],
        ["keys/127.0.0.1/joe-x509-key.pem", 0o600],
        ["known_hosts", 0o600],
      ] as const) {
        assert.equal((await stat(join(tsh, name))).mode & 0o777, mode, name);
      }
      assert.equal(await readlink(join(tsh, "profile")), "127.0.0.1.yaml");
      assert.match(await readFile(join(tsh, "known_hosts"), "utf8"), /^main ssh-ed25519 \S+\n$/);
    });
    test("a wrong password is one sentence, and nothing is kept", async () => {
      const got = await cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure"], {
        input: "wrong\n",
      });
      assert.equal(got.code, 1);
      assert.match(got.err, /error: invalid username, password or second factor\n$/);
      assert.equal((await cluster.tsh(["status"])).out, "Not logged in.\n");
    });
    test("without --insecure a certificate of nobody is refused with advice", async () => {
      const got = await cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe"], {
        input: "secret\n",
      });
      assert.equal(got.code, 1);
      assert.match(got.err, /unknown authority[\s\S]*SSL_CERT_FILE[\s\S]*--insecure/);
      assert.doesNotMatch(got.err, /Enter password/);
    });
    test("TSH-58: the own certificate of a proxy on this host is trusted", async () => {
      const state = join(cluster.home, "state");
      await mkdir(join(state, "teleport"), { recursive: true });
      await writeFile(join(state, "teleport", "webproxy_cert.pem"), cluster.webCertificate);
      const line = ["login", `--proxy=${cluster.proxy}`, "--user=joe"];
      const env = { XDG_STATE_HOME: state };
      const got = await cluster.tsh(line, { input: "secret\n", env });
      assert.equal(got.code, 0, got.err);
    });
    test("with a second factor its code is asked for and sent", async () => {
      cluster.ping = { auth: { type: "local", second_factor: "otp" } };
      const got = await cluster.tsh(
        ["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure", "--ttl=5"],
        {
          input: "secret\n123456\n",
        },
      );
      assert.equal(got.code, 0, got.err);
      assert.match(got.err, /Enter password for Teleport user joe: Enter your OTP token: /);
      const body = cluster.requests.at(-1)?.body as Record<string, unknown>;
      assert.equal(body.otp_token, "123456");
      assert.equal(body.ttl, 300_000_000_000);
    });
    test("UPG-02: an old tsh is refused unless told to go on", async () => {
      cluster.ping = { min_client_version: "99.0.0" };
      const refused = await cluster.login();
      assert.equal(refused.code, 1);
      assert.match(refused.err, /needs at least 99\.0\.0.*--skip-version-check/);
      assert.equal((await cluster.login("--skip-version-check")).code, 0);
    });
    test("again while it lasts asks nothing; a cluster switches, an unknown one is refused", async () => {
      await cluster.login();
      const again = await cluster.tsh(["login"]);
      assert.match(again.out, /Logged in as: joe/);
      const east = await cluster.tsh(["login", "--insecure", "east"]);
      assert.match(east.out, /Cluster: {6}east/);
      const west = await cluster.tsh(["login", "--insecure", "west"]);
      assert.equal(west.code, 1);
      assert.match(west.err, /cluster "west" is not found/);
      const main = await cluster.tsh(["login", "main"]);
      assert.match(main.out, /Cluster: {6}main/);
    });
    test("DEC-18: a positional is the cluster if there is one, else the user", async () => {
      const login = ["login", `--proxy=${cluster.proxy}`, "--insecure"];
      const asUser = await cluster.tsh([...login, "joe"], { input: "secret\n" });
      assert.equal(asUser.code, 0, asUser.err);
      assert.match(asUser.out, /Logged in as: joe[\s\S]*Cluster: {6}main/);
      await cluster.tsh(["logout"]);
      const asCluster = await cluster.tsh([...login, "east"], { input: "secret\n" });
      assert.match(asCluster.err, /east is taken for the cluster.*--user=east/);
    });
    test("without any login allowed there is still a login, and tsh says so", async () => {
      cluster.logins = [];
      const got = await cluster.login();
      assert.equal(got.code, 0, got.err);
      assert.match(got.err, /allowed no login anywhere/);
      const ssh = await cluster.tsh(["ssh", "root@db", "true"]);
      assert.equal(ssh.code, 1);
      assert.match(ssh.err, /allowed no login anywhere/);
    });
    for (const [why, proxy, sentence] of [
      ["nobody listens", () => "127.0.0.1:1", /cannot reach the proxy 127\.0\.0\.1:1: connection refused/],
      ["the port is SSH's", () => `127.0.0.1:${cluster.sshPort}`, /does not speak HTTPS; check the port/],
    ] as const) {
      test(`one sentence when ${why}`, async () => {
        const got = await cluster.tsh(["login", `--proxy=${proxy()}`, "--user=joe", "--insecure"], {
          input: "secret\n",
        });
        assert.equal(got.code, 1);
        assert.match(got.err, sentence);
        assert.equal(got.err.trim().split("\n").length, 2, got.err);
      });
    }
    test("S57: a proxy that names clusters or hosts which are no names is not believed", async () => {
      for (const bad of [{ ssh: { public_addr: "..:3080" } }, { ssh: { public_addr: "$(id):3080" } }]) {
        cluster.ping = { proxy: { kube: { enabled: false }, ...bad } };
        assert.notEqual((await cluster.login()).code, 0);
      }
      assert.deepEqual(await readdir(cluster.home).catch(() => []), []);
    });
  });

  suite("with an ssh-agent", () => {
    beforeEach(start);
    afterEach(stop);
    let path: string;
    let server: ReturnType<typeof createServer>;
    const keyring = new Keyring({ clock: systemClock });
    let behaviour: "good" | "refuses" = "good";
    beforeEach(async () => {
      path = join(cluster.home, "agent");
      keyring.removeAll();
      behaviour = "good";
      server = createServer((socket) => {
        void serveAgent(socket, keyring, { peer: behaviour === "good" ? "owner" : "forwarded" }).catch(
          () => {},
        );
      });
      await new Promise<void>((resolve) => server.listen(path, resolve));
    });
    afterEach(() => void server.close());
    const env = (): Record<string, string> => ({ SSH_AUTH_SOCK: path });
    const login = (): Promise<{ code: number; err: string }> =>
      cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure"], {
        input: "secret\n",
        env: env(),
      });

    test("TSH-54: it gets certificate and key, again and again only once, and logout takes them", async () => {
      await login();
      await cluster.tsh(["logout"], { env: {} });
      await login();
      assert.deepEqual(
        keyring.list().map(({ comment, signer }) => [comment, signer.publicKey.certificate !== undefined]),
        [
          ["teleport:joe", true],
          ["teleport:joe", false],
        ],
      );
      const out = await cluster.tsh(["logout"], { env: env() });
      assert.equal(out.out, "Logged out all users from all proxies.\n");
      assert.equal(keyring.list().length, 0);
    });
    test("TSH-57: one that refuses, or is not there, is only a warning", async () => {
      behaviour = "refuses";
      const refused = await login();
      assert.equal(refused.code, 0);
      assert.match(refused.err, /WARNING: the SSH agent did not take the certificate/);
      await cluster.tsh(["logout"]);
      const gone = await cluster.tsh(["login", `--proxy=${cluster.proxy}`, "--user=joe", "--insecure"], {
        input: "secret\n",
        env: { SSH_AUTH_SOCK: join(cluster.home, "nothing") },
      });
      assert.equal(gone.code, 0);
      assert.match(gone.err, /WARNING: the SSH agent/);
    });
    test("-A lends it to the host, nothing else does", async () => {
      await login();
      const lent = await cluster.tsh(["ssh", "-A", "root@db", "agent"], { env: env() });
      assert.equal(lent.out, "teleport:joe\nteleport:joe");
      const kept = await cluster.tsh(["ssh", "root@db", "agent"], {
        env: env(),
        signal: AbortSignal.any([]),
      });
      assert.notEqual(kept.out, lent.out);
      assert.notEqual(kept.code, 0);
    });
    test("TSH-25: it is lent by itself where the proxy records, unless it must not be", async () => {
      await login();
      cluster.recordsAtProxy = true;
      const lent = await cluster.tsh(["ssh", "root@db", "agent"], { env: env() });
      assert.equal(lent.out, "teleport:joe\nteleport:joe");
      for (const not of [["-a"], ["-o", "ForwardAgent=no"]]) {
        assert.notEqual((await cluster.tsh(["ssh", ...not, "root@db", "agent"], { env: env() })).code, 0);
      }
    });
  });

  suite("logout and status", () => {
    beforeEach(start);
    afterEach(stop);
    test("programs read the status too", async () => {
      await cluster.login();
      const { out } = await cluster.tsh(["status", "--format=json"]);
      const [only, ...more] = JSON.parse(out);
      assert.equal(more.length, 0);
      assert.deepEqual(
        [only.active, only.user, only.cluster, only.roles, only.logins, only.expired, only.extensions],
        [
          true,
          "joe",
          "main",
          ["admin"],
          ["root", "joe"],
          false,
          ["permit-agent-forwarding", "permit-port-forwarding", "permit-pty"],
        ],
      );
    });
    test("TSH-37: of one user from one proxy, then it is over already", async () => {
      await cluster.login();
      const one = ["logout", `--proxy=${cluster.proxy}`, "--user=joe"];
      assert.equal((await cluster.tsh(one)).out, "Logged out joe from 127.0.0.1.\n");
      const again = await cluster.tsh(one);
      assert.deepEqual([again.code, again.err], [1, "User joe already logged out from 127.0.0.1.\n"]);
      const half = await cluster.tsh(["logout", "--user=joe"]);
      assert.equal(half.code, 2);
      assert.match(half.err, /both --proxy and --user/);
    });
    test("an expired login is shown as such, and other commands say how to log in", async () => {
      cluster.loginLife = -1000;
      await cluster.login();
      assert.match((await cluster.tsh(["status"])).out, /\[EXPIRED\]/);
      const ls = await cluster.tsh(["ls"]);
      assert.equal(ls.code, 1);
      assert.match(
        ls.err,
        /^error: your login has expired; log in with: tsh login --proxy=127\.0\.0\.1:\d+\n$/,
      );
    });
  });
});
