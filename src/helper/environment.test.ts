import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  isHarmless,
  loginPath,
  mayRequest,
  parseUserEnvironment,
  sessionEnvironment,
} from "./environment.ts";
import { sttyArguments } from "./stty.ts";

suite("the environment of a session", () => {
  for (const [name, yes] of [
    ["LANG", true],
    ["LC_ALL", true],
    ["LC_anything_9", true],
    ["COLORTERM", true],
    ["TELEPORT_SESSION", true],
    ["GIT_AUTHOR", true],
    ["EDITOR", false],
    ["LC_A=B", false],
    ["LC_\n", false],
    ["", false],
    ["PATH", false],
    ["LD_PRELOAD", false],
    ["DYLD_INSERT_LIBRARIES", false],
    ["NODE_OPTIONS", false],
    ["GLIBC_TUNABLES", false],
    ["DEPLOY_TO", true],
    ["DEPLOY", false],
    ["UNDEPLOY_TO", false],
    ["K8S_X", true],
    ["K88S_X", false],
    ["LD_LIBRARY_PATH", false],
  ] as const) {
    test(`S54: a client ${yes ? "may" : "may not"} set ${JSON.stringify(name)}`, () => {
      const accept = [
        "GIT_AUTHOR",
        "PATH",
        "LD_PRELOAD",
        "DYLD_INSERT_LIBRARIES",
        "NODE_OPTIONS",
        "GLIBC_TUNABLES",
        "DEPLOY_*",
        "K?S_X",
        "LD_*",
      ];
      assert.equal(mayRequest(name, accept), yes);
    });
  }

  const account = { name: "bob", uid: 1, gid: 1, groups: [1], home: "/home/bob", shell: "/bin/sh" };
  const origin = {
    client: { host: "192.0.2.1", port: 5 },
    local: { host: "192.0.2.2", port: 3022 },
    sid: "s",
    user: "alice",
    hostId: "h",
    cluster: "c",
  };

  test("says where from, where to, as whom, and in which session", () => {
    const terminal = { type: "vt100", device: "/dev/pts/1" };
    const agentSocket = { path: "/tmp/a", pid: 7 };
    assert.deepEqual(
      sessionEnvironment(account, "/bin", { ...origin, webProxy: "p:3080", terminal, agentSocket }),
      {
        LANG: "en_US.UTF-8",
        PATH: "/bin",
        HOME: "/home/bob",
        USER: "bob",
        LOGNAME: "bob",
        SHELL: "/bin/sh",
        SSH_CLIENT: "192.0.2.1 5 3022",
        SSH_CONNECTION: "192.0.2.1 5 192.0.2.2 3022",
        SSH_SESSION_ID: "s",
        SSH_TELEPORT_USER: "alice",
        SSH_TELEPORT_HOST_UUID: "h",
        SSH_TELEPORT_CLUSTER_NAME: "c",
        SSH_SESSION_WEBPROXY_ADDR: "p:3080",
        TERM: "vt100",
        SSH_TTY: "/dev/pts/1",
        SSH_AUTH_SOCK: "/tmp/a",
        SSH_AGENT_PID: "7",
      },
    );
  });

  test("nobody but the daemon says who is there", () => {
    const own = { SSH_TELEPORT_USER: "mallory", USER: "root", SSH_CLIENT: "x", PATH: "/mine", EDITOR: "vi" };
    const env = sessionEnvironment(account, "/bin", origin, { LANG: "de_DE.UTF-8" }, own);
    assert.deepEqual(
      [env.SSH_TELEPORT_USER, env.USER, env.SSH_CLIENT, env.PATH, env.EDITOR, env.LANG],
      ["alice", "bob", "192.0.2.1 5 3022", "/mine", "vi", "de_DE.UTF-8"],
    );
  });

  test("of the login's file, assignments in the first thousand lines", () => {
    const text = `# c\n\n  A=1 \nB = 2\nbad name=3\n=4\nno\n9X=1\nLD_LIBRARY_PATH=/x\nNODE_PATH=/y\nE=\n${"#\n".repeat(990)}LATE=1\n`;
    assert.deepEqual(parseUserEnvironment(text), { A: "1", B: " 2", E: "" });
  });

  test("S54: only what programs take for text is there while a program is still root's", () => {
    assert.equal(isHarmless(sessionEnvironment(account, "/bin", origin, { LC_TIME: "C.UTF-8" })), true);
    for (const odd of [
      { EDITOR: "vi" },
      { LC_ALL: "../../tmp/x" },
      { LANG: "a".repeat(100) },
      { TZ: ":/etc/shadow" },
    ]) {
      assert.equal(isHarmless(odd as Record<string, string>), false, JSON.stringify(odd));
    }
  });

  test("the path of login.defs, for root its own", () => {
    const defs = "# ENV_PATH PATH=/no\nENV_SUPATH\tPATH=/sbin:/bin\nENV_PATH  /bin:/games\n";
    assert.equal(loginPath(defs, true), "/sbin:/bin");
    assert.equal(loginPath(defs, false), "/bin:/games");
    assert.equal(loginPath("", false), "/bin:/usr/bin:/usr/local/bin:/sbin");
  });
});

test("terminal modes become arguments of stty, what it does not know is left out", () => {
  const modes = new Map([
    [1, 3],
    [3, 127],
    [6, 255],
    [53, 0],
    [72, 1],
    [91, 1],
    [90, 0],
    [128, 38400],
    [11, 25],
    [62, 1],
    [159, 1],
  ]);
  assert.deepEqual(sttyArguments(modes), [
    "intr",
    "0x3",
    "erase",
    "0x7f",
    "eol",
    "undef",
    "-echo",
    "onlcr",
    "cs8",
  ]);
});
