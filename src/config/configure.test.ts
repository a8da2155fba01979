import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { configure, type StartFlags } from "./configure.ts";
import { parseConfigFile } from "./file.ts";
import { parseLabels } from "./labels.ts";
import { defaultPlaces } from "./places.ts";
import { sampleConfig } from "./sample.ts";

const defaults = { nodename: "host", dataDir: "/data" };
const merged = (yaml: string, flags: StartFlags = {}) =>
  configure({ file: parseConfigFile(yaml, "t.yaml"), flags, defaults });
const enabled = (flags: StartFlags, yaml = "") => {
  const { auth_service, proxy_service, ssh_service } = merged(yaml, flags).config;
  return [auth_service.enabled, proxy_service.enabled, ssh_service.enabled];
};

suite("defaults, file and flags (CFG-03)", () => {
  test("the machine fills in what nobody says", () => {
    const { config, warnings } = merged("");
    assert.equal(config.teleport.nodename, "host");
    assert.equal(config.teleport.data_dir, "/data");
    assert.deepEqual(config.teleport.auth_servers, [{ host: "127.0.0.1", port: 3025 }]);
    assert.deepEqual(config.process, {
      debug: false,
      insecure: false,
      insecure_no_tls: false,
      auth_servers_by_flag: false,
      diag_addr: undefined,
    });
    assert.deepEqual(warnings, []);
  });
  test("the file wins over the machine, a flag over the file", () => {
    const yaml =
      "teleport: {nodename: file, pid_file: /f, advertise_ip: 10.0.0.1, log: {severity: error, output: syslog}}\nssh_service: {permit_user_env: yes}";
    assert.equal(merged(yaml).config.teleport.nodename, "file");
    const { config } = merged(yaml, {
      nodename: "flag",
      pidFile: "/p",
      advertiseIp: "10.0.0.2",
      debug: true,
      permitUserEnv: false,
    });
    assert.equal(config.teleport.nodename, "flag");
    assert.equal(config.teleport.pid_file, "/p");
    assert.deepEqual(config.teleport.advertise_ip, { host: "10.0.0.2" });
    assert.deepEqual(config.teleport.log, { output: { to: "stderr" }, severity: "debug", format: "text" });
    assert.equal(config.ssh_service.permit_user_env, false);
    assert.equal(merged(yaml, {}).config.ssh_service.permit_user_env, true);
  });
  test("--roles runs exactly those", () => {
    assert.deepEqual(enabled({}), [true, true, true]);
    assert.deepEqual(enabled({ roles: ["node"] }), [false, false, true]);
    assert.deepEqual(enabled({ roles: ["proxy", "auth"] }, "auth_service: {enabled: no}"), [
      true,
      true,
      false,
    ]);
  });
  test("--auth-server replaces the list and runs no auth service here (CFG-102)", () => {
    const { config, warnings } = merged("teleport: {auth_servers: [a, b]}", { authServer: ["10.0.10.5"] });
    assert.deepEqual(config.teleport.auth_servers, [{ host: "10.0.10.5", port: 3025 }]);
    assert.equal(config.auth_service.enabled, false);
    assert.match(warnings.join(), /--auth-server/);
    assert.deepEqual(merged("", { authServer: ["a"], roles: ["node"] }).warnings, []);
  });
  test("--roles=auth with --auth-server asks for a second auth server, which needs shared storage", () => {
    for (const roles of [["auth"], ["auth", "node"]])
      assert.throws(
        () => merged("", { authServer: ["10.0.10.5"], roles, token: "x" }),
        (err) =>
          Fault.is(err, "bad_parameter") &&
          /beside 10\.0\.10\.5:3025 needs storage that both share/.test(err.message),
      );
  });
  test("--listen-ip moves every listener but Kubernetes and diagnostics", () => {
    const { config } = merged("auth_service: {listen_addr: '1.1.1.1:4025'}", {
      listenIp: "127.0.0.9",
      diagAddr: "127.0.0.1:3000",
    });
    assert.deepEqual(config.auth_service.listen_addr, { host: "127.0.0.9", port: 4025 });
    assert.deepEqual(config.teleport.auth_servers, [{ host: "127.0.0.9", port: 4025 }]);
    assert.deepEqual(config.proxy_service.web_listen_addr, { host: "127.0.0.9", port: 3080 });
    assert.deepEqual(config.proxy_service.tunnel_listen_addr, { host: "127.0.0.9", port: 3024 });
    assert.deepEqual(config.proxy_service.listen_addr, { host: "127.0.0.9", port: 3023 });
    assert.deepEqual(config.ssh_service.listen_addr, { host: "127.0.0.9", port: 3022 });
    assert.deepEqual(config.proxy_service.kubernetes.listen_addr, { host: "0.0.0.0", port: 3026 });
    assert.deepEqual(config.process.diag_addr, { host: "127.0.0.1", port: 3000 });
  });
  test("--labels replaces static and dynamic labels of the file", () => {
    const yaml = "ssh_service: {labels: {a: b}, commands: [{name: n, command: [/x], period: 1h}]}";
    const { config } = merged(yaml, { labels: 'c=d,up=[2m:"uptime -p"]' });
    assert.deepEqual(config.ssh_service.labels, { c: "d" });
    assert.deepEqual(config.ssh_service.commands, [
      { name: "up", command: ["uptime", "-p"], period: 120_000 },
    ]);
    assert.deepEqual(merged(yaml, { labels: "" }).config.ssh_service.labels, { a: "b" });
  });
  test("a label's period is raised to a minute, and the operator is told (DEC-13)", () => {
    const { config, warnings } = merged("", { labels: "up=[1s:uptime]" });
    assert.equal(config.ssh_service.commands[0]?.period, 60_000);
    assert.match(warnings.join(), /"up".*once a minute/);
  });
  test("where events go may be said under either section (CFG-63)", () => {
    const uri = "audit_events_uri: 'file:///a'";
    for (const yaml of [
      `auth_service: {${uri}}`,
      `teleport: {storage: {${uri}}}`,
      `auth_service: {${uri}}\nteleport: {storage: {${uri}}}`,
    ]) {
      assert.deepEqual(merged(yaml).config.teleport.storage.audit_events_uri, ["file:///a"]);
    }
  });
  test("nothing to run is refused", () => {
    const off = "auth_service: {enabled: no}\nproxy_service: {enabled: no}\nssh_service: {enabled: no}";
    assert.throws(() => merged(off), /nothing to run/);
  });
  test("--insecure is said aloud (AUTH-17)", () =>
    assert.match(merged("", { insecure: true }).warnings.join(), /not verified/));
  for (const [flags, complaint] of [
    [{ roles: ["node", "king"] }, '--roles: "king" is not one of auth, proxy, node'],
    [{ roles: [] }, "--roles: names none of auth, proxy, node"],
    [{ caPin: "md5:1" }, "--ca-pin: only pins of the form sha256:<64 hex digits> are supported"],
    [{ authServer: ["a b"] }, '--auth-server: "a b" is not an address; write host or host:port'],
    [{ diagAddr: "localhost" }, '--diag-addr: "localhost" is not an address; write host:port'],
    [{ labels: "x" }, "--labels: invalid label spec: 'x', should be 'key=value'"],
    [
      { labels: "a=[1m]" },
      "--labels: invalid command label spec: '[1m]'; write [period:command], e.g. [1m:\"uptime -p\"]",
    ],
    [{ labels: "a b=c" }, '--labels: "a b" cannot be a label\'s name; use letters, digits and . / _ * -'],
    [{ fips: true }, "--fips: this build has no FIPS-certified cryptography; start without the flag"],
  ] as const) {
    test(`refuses ${JSON.stringify(flags)}`, () => {
      assert.throws(
        () => merged("", flags),
        (err) => Fault.is(err, "bad_parameter") && err.message === complaint,
      );
    });
  }
});

suite("--labels (CFG-120)", () => {
  for (const [text, labels, commands] of [
    ["env=prod", { env: "prod" }, []],
    ["env=prod,role=db;zone=a", { env: "prod", role: "db", zone: "a" }, []],
    ['a="x,y;z",b=1=2', { a: "x,y;z", b: "1=2" }, []],
    [
      'uptime=[1m:"uptime -p"],kernel=[1h:"uname -r"]',
      {},
      [
        { name: "uptime", command: ["uptime", "-p"], period: 60_000 },
        { name: "kernel", command: ["uname", "-r"], period: 3_600_000 },
      ],
    ],
    [
      "uptime=[1m:uptime -p],env=x",
      { env: "x" },
      [{ name: "uptime", command: ["uptime", "-p"], period: 60_000 }],
    ],
    [
      'n=[1h30m:"/bin/sh -c date"];a="[x]",b=]c],d=e',
      { a: "[x]", b: "]c]", d: "e" },
      [{ name: "n", command: ["/bin/sh", "-c", "date"], period: 5_400_000 }],
    ],
    ['n=[1m:/bin/echo "a b" c,d]', {}, [{ name: "n", command: ["/bin/echo", "a b", "c,d"], period: 60_000 }]],
  ] satisfies [string, Record<string, string>, unknown[]][]) {
    test(text, () => assert.deepEqual(parseLabels(text), { labels, commands }));
  }
  for (const text of [
    "x",
    "=x",
    "a=b,c",
    "a=[1m]",
    "a=[1m:]",
    "a=[zz:ls]",
    'a="b',
    "a=[1m:ls",
    "__proto__=x",
    "a=b,c=[1m:ls",
    "a=[1m:ls]x",
    'a=[1m:""]',
  ]) {
    test(`refuses ${text}`, () =>
      assert.throws(
        () => parseLabels(text),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }
});

suite("places", () => {
  test("root has those of the admin guide, whatever its variables say", () => {
    const env = { XDG_STATE_HOME: "/home/joe/.state", HOME: "/home/joe" };
    assert.deepEqual(defaultPlaces({ uid: 0, home: "/root", env }), {
      configFiles: ["/etc/teleport.yaml"],
      dataDir: "/var/lib/teleport",
      pidFile: "/var/run/teleport.pid",
    });
  });
  test("a user has their own, never the current folder", () => {
    assert.deepEqual(defaultPlaces({ uid: 1000, home: "/home/joe", env: {} }), {
      configFiles: ["/home/joe/.local/state/teleport/teleport.yaml"],
      dataDir: "/home/joe/.local/state/teleport",
      pidFile: "/home/joe/.local/state/teleport/teleport.pid",
    });
    assert.equal(
      defaultPlaces({ uid: 1000, home: "/h", env: { XDG_STATE_HOME: "/s" } }).dataDir,
      "/s/teleport",
    );
    assert.equal(
      defaultPlaces({ uid: 1000, home: "/h", env: { XDG_STATE_HOME: "s" } }).dataDir,
      "/h/.local/state/teleport",
    );
  });
});

suite("the sample configuration (CFG-130, CFG-131)", () => {
  const sample = sampleConfig({
    nodename: "db: #1",
    dataDir: "/var/lib/teleport",
    pidFile: "/var/run/teleport.pid",
  });
  test("begins with its title in three lines of comment", () => {
    assert.match(sample, /^# Sample Teleport configuration file\.\n# [^\n]*\n# [^\n]*\n[^#]/);
  });
  test("loads as it stands, without warnings, and says what it shows", () => {
    const { config, warnings } = configure({ file: parseConfigFile(sample, "sample"), flags: {}, defaults });
    assert.deepEqual(warnings, []);
    assert.equal(config.teleport.nodename, "db: #1");
    assert.equal(config.teleport.log.severity, "info");
    assert.equal(config.teleport.pid_file, "/var/run/teleport.pid");
    assert.equal(config.teleport.ca_pin, undefined);
    assert.deepEqual(config.auth_service.tokens[0]?.roles, ["proxy", "node"]);
    assert.deepEqual(config.ssh_service.labels, { db_role: "master", db_type: "postgres" });
    assert.deepEqual(
      config.ssh_service.commands.map(({ name, period }) => [name, period]),
      [
        ["hostname", 60_000],
        ["arch", 3_600_000],
      ],
    );
    assert.equal(config.proxy_service.https_key_file, undefined);
  });
  test("still loads with its certificate lines switched on", () => {
    const { file } = parseConfigFile(sample.replaceAll("# https", "https"), "sample");
    assert.equal(file.proxy_service.https_key_file, "/var/lib/teleport/webproxy_key.pem");
  });
});
