import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { AgentClient } from "#ssh/agent";
import { eventually } from "../support/eventually.ts";
import { TestCluster } from "./cluster.ts";

suite("tsh config and tsh agent", () => {
  let cluster: TestCluster;
  const start = async (): Promise<void> => {
    cluster = await TestCluster.start();
  };
  const startLoggedIn = async (): Promise<void> => {
    await start();
    await cluster.login();
  };
  const stop = (): Promise<void> => cluster[Symbol.asyncDispose]();

  suite("config", () => {
    beforeEach(start);
    afterEach(stop);

    test("prints for OpenSSH how the hosts are reached, by paths that are there", async () => {
      await cluster.login();
      const { code, out, err } = await cluster.tsh(["config", "--port=2022", "--agent"]);
      assert.deepEqual([code, err], [0, ""]);
      assert.match(out, /^Host \*\.main$/m);
      assert.match(out, /^ {4}Port 2022$/m);
      // "tester" is who runs this, and no login: without a line OpenSSH would ask for it.
      assert.match(out, /^ {4}User joe\n {4}ProxyJump teleport-proxy-main$/m);
      assert.match(out, new RegExp(`^ {4}IdentityAgent "${cluster.home}/.tsh/agent.sock"$`, "m"));
      const paths = [...out.matchAll(/^ {4}(?:IdentityFile|CertificateFile|UserKnownHostsFile) "(.*)"$/gm)];
      assert.equal(paths.length, 6);
      for (const [, path = ""] of paths) assert.equal((await stat(path)).mode & 0o777, 0o600);
      const known = await readFile(join(cluster.home, ".tsh/keys/127.0.0.1/known_hosts"), "utf8");
      assert.match(
        known,
        /^@cert-authority \*\.main,remote\.kube\.proxy\.teleport\.cluster\.local ssh-ed25519 \S+\n$/,
      );
    });

    test("names the login that was asked for, and none where it is one's own name", async () => {
      await cluster.login();
      const lines = async (...flags: string[]) => (await cluster.tsh(["config", ...flags])).out;
      assert.match(await lines("--login=root"), /^ {4}Port 3022\n {4}User root$/m);
      cluster.logins = ["tester"];
      await cluster.tsh(["logout"]);
      await cluster.login();
      assert.match(await lines(), /^ {4}Port 3022\n {4}ProxyJump/m);
    });

    test("says in a sentence what to do where there is no login, or none any more, or for nowhere", async () => {
      const none = await cluster.tsh(["config"]);
      assert.deepEqual([none.code, none.out], [1, ""]);
      assert.match(none.err, /^error: you are not logged in; log in with: tsh login --proxy=HOST$/m);
      cluster.loginLife = -1000;
      await cluster.login();
      const over = await cluster.tsh(["config"]);
      assert.match(over.err, /^error: your login has expired; log in with: tsh login --proxy=127/m);
      cluster.loginLife = 3_600_000;
      cluster.logins = [];
      await cluster.login();
      const nowhere = await cluster.tsh(["config"]);
      assert.deepEqual([nowhere.code, nowhere.out], [1, ""]);
      assert.match(nowhere.err, /joe is allowed no login anywhere/);
    });

    test("S57: no name that is more than a name gets into it", async () => {
      await cluster.login();
      const other = await cluster.tsh(["config", "--cluster=x';id;'"]);
      assert.deepEqual([other.code, other.out], [1, ""]);
      const login = await cluster.tsh(["config", "--login=$(id)"]);
      assert.deepEqual([login.code, login.out], [2, ""]);
      cluster.ping = { cluster_name: "main\nProxyCommand id" };
      await cluster.tsh(["logout"]);
      await cluster.login();
      const hostile = await cluster.tsh(["config"]);
      assert.deepEqual([hostile.code, hostile.out], [2, ""]);
      assert.match(hostile.err, /cannot be written into an ssh_config/);
    });
  });

  suite("agent", () => {
    beforeEach(startLoggedIn);
    afterEach(stop);

    for (const [what, ...line] of [
      ["an unknown word", "start"],
      ["two shells at once", "--sh", "--csh"],
      ["a path too long for a socket", `--socket=/${"x".repeat(107)}`],
      ["S57: a path with a line's end", "--socket=/tmp/a\nb"],
    ] as const) {
      test(`${what} is wrong usage`, async () => {
        const { code, out } = await cluster.tsh(["agent", ...line]);
        assert.deepEqual([code, out], [2, ""]);
      });
    }

    test("S57: prints commands in which an odd path is a path and nothing more", async () => {
      const path = `${cluster.home}/$(id)'!`;
      for (const [flag, printed] of [
        ["--sh", `SSH_AUTH_SOCK='${cluster.home}/$(id)'\\''!'; export SSH_AUTH_SOCK;`],
        ["--csh", `setenv SSH_AUTH_SOCK '${cluster.home}/$(id)'\\''\\!';`],
      ] as const) {
        const done = new AbortController();
        const ran = cluster.tsh(["agent", "-D", flag, `--socket=${path}`], { signal: done.signal });
        await eventually("a socket", () => stat(path).catch(() => undefined));
        using agent = new AgentClient(connect(path));
        assert.deepEqual(
          (await agent.identities()).map(({ comment }) => comment),
          ["teleport:joe", "teleport:joe"],
        );
        done.abort();
        const { code, out } = await ran;
        assert.deepEqual([code, out.split("\n")[0]], [0, printed]);
      }
    });
  });
});
