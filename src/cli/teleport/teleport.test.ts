import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { type Config, load } from "#config";
import { Fault } from "#core/errors";
import { silentLog } from "#core/log";
import { examine } from "#daemon";
import { runLine } from "../testing.ts";
import type { Daemon } from "./daemon.ts";
import { programWith } from "./program.ts";

type DaemonParts = Parameters<Daemon["startDaemon"]>[1];

let home: string;
const eachInAHome = () => {
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "teleport-"));
  });
  afterEach(() => rmSync(home, { recursive: true }));
};

const uid = process.geteuid?.() ?? -1;
const machine = () => ({ home, uid: uid === 0 ? -1 : uid, hostname: "box" });

/** Runs `teleport …` with a daemon that does what `run` says. */
async function teleport(
  line: readonly string[],
  {
    run = async () => {},
    signal,
    env = {},
  }: {
    run?: (config: Config, parts: DaemonParts, signal: AbortSignal) => Promise<void>;
    signal?: AbortSignal;
    env?: Record<string, string>;
  } = {},
) {
  let config: Config | undefined;
  const daemon: Daemon = {
    textLog: ({ write }) => ({ ...silentLog, info: (message) => write(`${message}\n`, "info") }),
    jsonLog: ({ write }) => ({
      ...silentLog,
      info: (message) => write(`${JSON.stringify({ message })}\n`, "info"),
    }),
    examine,
    startDaemon(given, parts, stop) {
      config = given;
      return run(given, parts, stop);
    },
  };
  const got = await runLine(
    programWith(async () => daemon),
    line,
    {
      machine: machine(),
      env,
      ...(signal && { signal }),
    },
  );
  return { ...got, config };
}
const write = (name: string, text: string, mode = 0o600): string => {
  const path = join(home, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

suite("teleport start", () => {
  eachInAHome();
  test("without a file the defaults are enough", async () => {
    let parts: DaemonParts | undefined;
    const run = async (_: Config, given: DaemonParts) => {
      parts = given;
      given.say("[AUTH]  listening");
      given.log.info("hello");
      given.warn("mind\u001b[2J the gap");
      await given.stdout('{"event":1}\n');
    };
    const got = await teleport(["start"], { run });
    assert.equal(got.code, 0);
    assert.equal(got.out, '[AUTH]  listening\n{"event":1}\n');
    assert.equal(got.err, "hello\nwarning: mind the gap\n");
    assert.equal(got.config?.teleport.nodename, "box");
    assert.equal(got.config?.teleport.data_dir, join(home, ".local/state/teleport"));
    assert.match(parts?.version ?? "", /^\d+\.\d+\.\d+/);
  });
  test("flags of the admin guide reach the configuration", async () => {
    const path = write("t.yaml", "teleport: {nodename: file}\nssh_service: {labels: {a: b}}");
    const line = `start -d --roles=node,proxy --token=xyz --ca-pin=sha256:${"0".repeat(64)} --auth-server=10.0.10.5 --nodename=n1 --pid-file=/p --diag-addr=127.0.0.1:3000 --insecure-no-tls -l 127.0.0.1`;
    const { config, code, err } = await teleport([
      ...line.split(" "),
      "-c",
      path,
      "--labels",
      'up=[1m:"uptime -p"]',
    ]);
    assert.equal(code, 0, err);
    assert.ok(config);
    assert.deepEqual(
      [config.auth_service.enabled, config.proxy_service.enabled, config.ssh_service.enabled],
      [false, true, true],
    );
    assert.equal(config.teleport.nodename, "n1");
    assert.equal(config.teleport.pid_file, "/p");
    assert.deepEqual(config.teleport.auth_servers, [{ host: "10.0.10.5", port: 3025 }]);
    assert.deepEqual(config.ssh_service.labels, {});
    assert.deepEqual(config.ssh_service.commands[0]?.command, ["uptime", "-p"]);
    assert.equal(config.teleport.log.severity, "debug");
    assert.equal(config.process.insecure_no_tls, true);
    assert.deepEqual(config.proxy_service.web_listen_addr, { host: "127.0.0.1", port: 3080 });
  });
  test("TELEPORT_CONFIG replaces the file (CFG-02)", async () => {
    const env = { TELEPORT_CONFIG: Buffer.from("teleport: {nodename: env}").toString("base64") };
    assert.equal((await teleport(["start"], { env })).config?.teleport.nodename, "env");
    const bad = await teleport(["start"], { env: { TELEPORT_CONFIG: "%%%" } });
    assert.deepEqual(
      [bad.code, bad.err],
      [2, "error: TELEPORT_CONFIG (--config-string) is not base64 of a configuration file\n"],
    );
  });
  test("a user's own file is found at its usual place", async () => {
    mkdirSync(join(home, ".local/state/teleport"), { recursive: true, mode: 0o700 });
    write(".local/state/teleport/teleport.yaml", "teleport: {nodename: mine}");
    assert.equal((await teleport(["start"])).config?.teleport.nodename, "mine");
  });
  for (const [what, spoil] of [
    ["the file", "teleport.yaml"],
    ["its folder", ""],
  ] as const) {
    test(`S59: when every user may write to ${what} it is not read, and the operator is told`, async () => {
      const folder = join(home, ".local/state/teleport");
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      write(".local/state/teleport/teleport.yaml", "teleport: {nodename: planted}");
      chmodSync(join(folder, spoil), 0o777);
      const got = await teleport(["start"]);
      assert.equal(got.config?.teleport.nodename, "box");
      assert.match(got.err, /^warning: .* is not read: every user may write to .*--config/);
      const named = await teleport(["start", "--config", join(folder, "teleport.yaml")]);
      assert.equal(named.config?.teleport.nodename, "planted");
    });
  }
  test("S59: a teleport.yaml in the current folder means nothing", async () => {
    const before = process.cwd();
    write("teleport.yaml", "teleport: {nodename: planted}");
    process.chdir(home);
    try {
      assert.equal((await teleport(["start"])).config?.teleport.nodename, "box");
    } finally {
      process.chdir(before);
    }
  });
  for (const [what, line, complaint] of [
    ["a missing file", ["start", "-c", "/no/such.yaml"], "error: file not found: /no/such.yaml\n"],
    ["a folder", ["start", "-c", "/"], "error: / is a folder, not a file\n"],
    [
      "an unknown role",
      ["start", "--roles=king"],
      'error: --roles: "king" is not one of auth, proxy, node\n',
    ],
    ["an argument", ["start", "now"], /^error: teleport start was given more arguments than it takes/],
    ["an unknown flag", ["start", "--rolls=x"], /^error: teleport start has no flag --rolls/],
  ] as const) {
    test(`${what} is wrong usage`, async () => {
      const got = await teleport(line);
      assert.equal(got.code, 2);
      if (typeof complaint === "string") assert.equal(got.err, complaint);
      else assert.match(got.err, complaint);
      assert.equal(got.config, undefined);
    });
  }
  test("a file that is no configuration is wrong usage, with the place", async () => {
    const path = write("t.yaml", "teleport:\n  nodname: x\n");
    const got = await teleport(["start", "-c", path]);
    assert.deepEqual(
      [got.code, got.err],
      [2, `error: ${path}:2:3: teleport: unknown key "nodname"; did you mean "nodename"?\n`],
    );
  });
  test("a taken port is a failure, not wrong usage", async () => {
    const run = () =>
      Promise.reject(new Fault("already_exists", "the port 3025 is taken by another program"));
    const got = await teleport(["start"], { run });
    assert.deepEqual([got.code, got.err], [1, "error: the port 3025 is taken by another program\n"]);
  });
  test("told to stop, it ends well, also while it starts", async () => {
    const stop = new AbortController();
    const run = (_: Config, __: DaemonParts, signal: AbortSignal) =>
      new Promise<void>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        stop.abort();
      });
    assert.equal((await teleport(["start"], { run, signal: stop.signal })).code, 0);
  });
  test("the log goes to the file that the configuration names", async () => {
    const path = join(home, "t.log");
    const config = write("t.yaml", `teleport: {log: {output: ${path}}}`);
    const run = async (_: Config, { log }: DaemonParts) => log.info("one line");
    assert.deepEqual(await teleport(["start", "-c", config], { run }).then(({ code, err }) => [code, err]), [
      0,
      "",
    ]);
    assert.equal(readFileSync(path, "utf8"), "one line\n");
    const closed = write("closed.yaml", `teleport: {log: {output: ${home}/no/such/folder.log}}`);
    assert.equal((await teleport(["start", "-c", closed])).code, 1);
  });
  test("the log is JSON for who asks for it, on the output that the configuration names", async () => {
    const config = write("t.yaml", "teleport: {log: {output: stdout, format: json}}");
    const run = async (_: Config, { log }: DaemonParts) => log.info("one line");
    assert.equal((await teleport(["start", "-c", config], { run })).out, '{"message":"one line"}\n');
  });
  test("S72: neither a complaint nor a warning holds the token of the command line", async () => {
    const planted = "hunter2-planted-secret";
    for (const more of [["--bogus"], ["--roles=x"], ["--ca-pin=x"], ["more"], []]) {
      const { out, err } = await teleport(["start", `--token=${planted}`, ...more]);
      assert.doesNotMatch(out + err, new RegExp(planted));
    }
  });
});

suite("teleport configure", () => {
  eachInAHome();
  test("prints a file that can be started with", async () => {
    const { out, code } = await teleport(["configure"]);
    assert.equal(code, 0);
    const { parseConfigFile } = await load();
    assert.equal(parseConfigFile(out, "sample").file.teleport.nodename, "box");
    assert.equal((await teleport(["start", "-c", write("t.yaml", out)])).code, 0);
  });

  const tested = async (yaml: string) => {
    const path = write("t.yaml", yaml);
    const { code, out, err } = await teleport(["configure", "--test", path]);
    return {
      code,
      out,
      lines: err.replaceAll(path, "FILE").replaceAll(home, "HOME").split("\n").slice(0, -1),
    };
  };
  const dataDir = () => `data_dir: ${home}/data`;

  test("--test says that a file can be started with, and makes nothing", async () => {
    const { code, out, lines } = await tested(`teleport: {${dataDir()}}`);
    assert.deepEqual([code, lines], [0, []]);
    assert.match(out, /t\.yaml can be started with\n$/);
    assert.deepEqual(readdirSync(home), ["t.yaml"]);
  });
  test("--test tells warnings, with which one can start", async () => {
    const { code, lines } = await tested(
      `teleport: {${dataDir()}}\nauth_service: {license_file: none.pem}\nssh_service: {commands: [{name: up, command: [/no/such], period: 10s}]}`,
    );
    assert.equal(code, 0, lines.join("\n"));
    assert.match(lines.join("\n"), /^warning: the label "up" is refreshed once a minute/m);
    assert.match(
      lines.join("\n"),
      /^warning: FILE: auth_service\.license_file: HOME\/data\/none\.pem is not there/m,
    );
    assert.match(
      lines.join("\n"),
      /^warning: FILE: ssh_service\.commands\.0: "\/no\/such" of the label "up" is not there$/m,
    );
  });
  test("--test tells all mistakes of a file at once, a line each, and ends with 2", async () => {
    const { code, out, lines } = await tested(
      "teleport:\n  ciphers: [rot13]\n  nodname: x\nauth_service:\n  enabled: perhaps\n",
    );
    assert.deepEqual([code, out], [2, ""]);
    assert.deepEqual(
      lines.map((line) => line.slice(0, 16)),
      ["error: FILE:2:13", "error: FILE:3:3:", "error: FILE:5:12"],
    );
  });
  test("--test tells what cannot be so together, and what this machine lacks", async () => {
    mkdirSync(join(home, "x"));
    write("x/file", "");
    const { code, lines } = await tested(`
teleport:
  data_dir: ${home}/x/file/data
  pid_file: ${home}/no/pid
  log: {output: ${home}/no/log}
  storage: {audit_sessions_uri: 's3://bucket'}
auth_service:
  listen_addr: 127.0.0.1:3022
  tokens: ['node:${home}/no/token', 'node:${home}/x/file']
  session_recording: proxy
ssh_service: {pam: {enabled: yes}}
proxy_service:
  https_key_file: ${home}/no/key
  https_cert_file: ${home}/no/cert
  kubernetes: {enabled: yes, kubeconfig_file: ${home}/no/kube}
`);
    assert.equal(code, 2, lines.join("\n"));
    for (const expected of [
      /^error: FILE: ssh_service\.listen_addr \(0\.0\.0\.0:3022\) is where auth_service\.listen_addr listens too/,
      /^error: FILE: auth_service\.session_recording: proxy is not offered/,
      /^error: FILE: ssh_service\.pam\.enabled: yes is not offered/,
      /^error: FILE: teleport\.data_dir: cannot use HOME\/x\/file\/data: a file is where a folder should be$/,
      /^error: FILE: teleport\.pid_file: cannot write HOME\/no\/pid: its folder is not there$/,
      /^error: FILE: teleport\.log\.output: cannot write HOME\/no\/log: its folder is not there$/,
      /^error: FILE: auth_service\.tokens\.0: cannot read HOME\/no\/token: it is not there$/,
      /^error: FILE: auth_service\.tokens\.1: HOME\/x\/file is empty$/,
      /^error: FILE: teleport\.storage\.audit_sessions_uri: .*s3:\/\/bucket/,
      /^error: FILE: proxy_service: https key does not exist: HOME\/no\/key$/,
      /^error: FILE: proxy_service\.kubernetes\.kubeconfig_file: cannot read HOME\/no\/kube/,
    ]) {
      assert.equal(lines.filter((line) => expected.test(line)).length, 1, `${expected}\n${lines.join("\n")}`);
    }
    assert.equal(lines.length, 11, lines.join("\n"));
  });
  test("--test ends with 1 when only the machine is at fault", async () => {
    const { code, lines } = await tested(`teleport: {${dataDir()}, pid_file: ${home}/no/pid}`);
    assert.deepEqual([code, lines.length], [1, 1], lines.join("\n"));
  });
  test("--test of a file that is not there", async () => {
    const got = await teleport(["configure", "--test=/no/such.yaml"]);
    assert.deepEqual([got.code, got.err], [2, "error: file not found: /no/such.yaml\n"]);
  });
});

suite("teleport status (SSH-45)", () => {
  eachInAHome();
  test("outside of a session", async () => {
    const { out, code } = await teleport(["status"]);
    assert.deepEqual([code, out], [0, "You are not inside of a Teleport SSH session\n"]);
  });
  test("inside of one", async () => {
    const { out } = await teleport(["status"], {
      env: {
        SSH_SESSION_ID: "7645d523-60cb-436d-b732-99c5df14b7c4",
        SSH_TELEPORT_USER: "joe",
        SSH_TELEPORT_CLUSTER_NAME: "main",
        SSH_TELEPORT_HOST_UUID: "uuid",
        SSH_SESSION_WEBPROXY_ADDR: "work:3080",
        SSH_CLIENT: "10.0.10.1 43026 3022",
        USER: "root",
      },
    });
    assert.equal(
      out,
      [
        "User ID      : joe, logged in as root from 10.0.10.1:43026",
        "Cluster Name : main",
        "Host UUID    : uuid",
        "Session ID   : 7645d523-60cb-436d-b732-99c5df14b7c4",
        "Session URL  : https://work:3080/web/cluster/main/node/uuid/root/7645d523-60cb-436d-b732-99c5df14b7c4",
        "",
      ].join("\n"),
    );
  });
});
