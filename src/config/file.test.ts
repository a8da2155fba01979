import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { minute, second } from "#core/clock";
import { Fault } from "#core/errors";
import { anyText } from "../../test/support/text.ts";
import { parseConfigFile } from "./file.ts";
import { resolveSecret } from "./values.ts";

const parse = (yaml: string) => parseConfigFile(yaml, "t.yaml").file;
const pin = `sha256:${"ab".repeat(32)}`;

suite("configuration file", () => {
  test("an empty file is a whole configuration", () => {
    const file = parse("");
    assert.deepEqual(file.auth_service, {
      enabled: true,
      listen_addr: { host: "0.0.0.0", port: 3025 },
      public_addr: [],
      tokens: [],
      authentication: { type: "local", second_factor: "otp", local_auth: true },
      session_recording: "node",
      proxy_checks_host_keys: true,
      client_idle_timeout: 0,
      disconnect_expired_cert: false,
      keep_alive_interval: 300_000,
      keep_alive_count_max: 3,
      proxy_protocol: true,
      exec_recording_limit: 10_485_760,
      audit_events_uri: [],
      trusted_clusters: [],
      authorities: [],
      reverse_tunnels: [],
    });
    assert.deepEqual(file.ssh_service, {
      enabled: true,
      listen_addr: { host: "0.0.0.0", port: 3022 },
      public_addr: [],
      labels: {},
      commands: [],
      permit_user_env: false,
      pam: { enabled: false, service_name: "sshd" },
      accept_env: [],
    });
    assert.deepEqual(file.proxy_service, {
      enabled: true,
      listen_addr: { host: "0.0.0.0", port: 3023 },
      tunnel_listen_addr: { host: "0.0.0.0", port: 3024 },
      web_listen_addr: { host: "0.0.0.0", port: 3080 },
      public_addr: [],
      ssh_public_addr: [],
      tunnel_public_addr: [],
      proxy_protocol: true,
      kubernetes: { enabled: false, listen_addr: { host: "0.0.0.0", port: 3026 }, public_addr: [] },
      openssh_targets: [
        { host: "*", port: 22 },
        { host: "*", port: 3022 },
      ],
      processes: 1,
    });
    const { ciphers, kex_algos, mac_algos, ciphersuites, ...teleport } = file.teleport;
    assert.deepEqual(
      [ciphers[0], kex_algos[0], mac_algos.length, ciphersuites.length],
      ["aes128-gcm@openssh.com", "mlkem768x25519-sha256", 4, 8],
    );
    assert.deepEqual(teleport, {
      auth_servers: [],
      connection_limits: {
        max_connections: 15_000,
        max_users: 250,
        rates: [],
        max_unauthenticated: { start: 1000, rate: 30, full: 3000 },
        max_unauthenticated_per_source: 500,
        source_netblock: { ipv4: 32, ipv6: 64 },
        login_grace: 2 * minute,
        max_auth_tries: 6,
        max_channels: 1024,
        max_sessions: 100,
        max_buffered: 128 * 1024 * 1024,
        max_requests: 1024,
        penalties: {
          enabled: true,
          refused: second,
          late: 10 * second,
          broken: 5 * second,
          left: second,
          block_from: minute,
          block_at_most: 10 * minute,
          max_sources: 65_536,
          exempt: ["127.0.0.0/8", "::1"],
        },
      },
      log: { output: { to: "stderr" }, severity: "warn", format: "text" },
      storage: {
        backend: { type: "dir" },
        region: undefined,
        audit_events_uri: [],
        audit_sessions_uri: undefined,
      },
      cache: { enabled: true, ttl: 72_000_000 },
    });
    assert.deepEqual(
      parse("teleport:\nauth_service:\n  tokens:\n"),
      file,
      "keys without values are left out",
    );
  });

  for (const [yaml, path, want] of [
    ["auth_service: {enabled: yes}", "auth_service.enabled", true],
    ['auth_service: {enabled: "yes"}', "auth_service.enabled", true],
    ["auth_service: {enabled: Nope}", "auth_service.enabled", false],
    ["auth_service: {session_recording: off}", "auth_service.session_recording", "off"],
    [
      "auth_service: {authentication: {second_factor: off}}",
      "auth_service.authentication.second_factor",
      "off",
    ],
    [
      "auth_service: {authentication: {second_factor: u2f, u2f: {app_id: 'https://p:3080'}}}",
      "auth_service.authentication.second_factor",
      "webauthn",
    ],
    ["auth_service: {client_idle_timeout: 1h30m}", "auth_service.client_idle_timeout", 5_400_000],
    ["auth_service: {client_idle_timeout: never}", "auth_service.client_idle_timeout", 0],
    ["auth_service: {exec_recording_limit: 512KiB}", "auth_service.exec_recording_limit", 524_288],
    ["teleport: {cache: {ttl: never}}", "teleport.cache.ttl", 0],
    [
      "teleport: {auth_servers: auth.example.com}",
      "teleport.auth_servers",
      [{ host: "auth.example.com", port: 3025 }],
    ],
    [
      "teleport: {auth_servers: ['tcp://10.0.0.1:3080', '[fd00::1]:1', 'fd00::2']}",
      "teleport.auth_servers",
      [
        { host: "10.0.0.1", port: 3080 },
        { host: "fd00::1", port: 1 },
        { host: "fd00::2", port: 3025 },
      ],
    ],
    ["ssh_service: {listen_addr: ':4022'}", "ssh_service.listen_addr", { host: "0.0.0.0", port: 4022 }],
    [
      "proxy_service: {public_addr: [p, 'q:443']}",
      "proxy_service.public_addr",
      [
        { host: "p", port: 3080 },
        { host: "q", port: 443 },
      ],
    ],
    ["proxy_service: {public_addr: ''}", "proxy_service.public_addr", []],
    [
      "ssh_service: {labels: {a: on, b: 012, c: 1.0, d: }}",
      "ssh_service.labels",
      { a: "on", b: "012", c: "1.0", d: "" },
    ],
    [
      "ssh_service: {commands: [{name: arch, command: [/bin/uname, -p], period: 1h}]}",
      "ssh_service.commands",
      [{ name: "arch", command: ["/bin/uname", "-p"], period: 3_600_000 }],
    ],
    [
      "teleport: {log: {severity: WARNING, output: out, format: JSON}}",
      "teleport.log",
      { output: { to: "stdout" }, severity: "warn", format: "json" },
    ],
    [
      "teleport: {log: {output: /var/log/t.log}}",
      "teleport.log.output",
      { to: "file", path: "/var/log/t.log" },
    ],
    ["teleport: {ca_pin: ''}", "teleport.ca_pin", undefined],
    [`teleport: {ca_pin: '${pin.toUpperCase().replace("SHA", "sha")}'}`, "teleport.ca_pin", pin],
    ["teleport: {advertise_ip: '10.1.0.5:4022'}", "teleport.advertise_ip", { host: "10.1.0.5", port: 4022 }],
    ["teleport: {advertise_ip: db.example.com}", "teleport.advertise_ip", { host: "db.example.com" }],
    ["teleport: {ciphers: aes256-ctr}", "teleport.ciphers", ["aes256-ctr"]],
    [
      "teleport: {ciphersuites: [tls-rsa-with-aes-256-gcm-sha384]}",
      "teleport.ciphersuites",
      ["AES256-GCM-SHA384"],
    ],
    ["teleport: {key_type: rsa}", "teleport.key_type", "rsa"],
    [
      "teleport: {storage: {type: sqlite, path: /s}}",
      "teleport.storage.backend",
      { type: "sqlite", path: "/s" },
    ],
    [
      "teleport: {storage: {region: eu, audit_events_uri: ['stdout://', 'dynamodb://t'], audit_sessions_uri: 's3://b/p'}}",
      "teleport.storage",
      {
        backend: { type: "dir" },
        region: "eu",
        audit_events_uri: ["stdout://", "dynamodb://t"],
        audit_sessions_uri: "s3://b/p",
      },
    ],
    ["teleport: {storage: {audit_table_name: t}}", "teleport.storage.audit_events_uri", ["dynamodb://t"]],
    [
      "teleport: {connection_limits: {rates: [{period: 1m, average: 10, burst: 20}]}}",
      "teleport.connection_limits.rates",
      [{ period: 60_000, average: 10, burst: 20 }],
    ],
    [
      "teleport: {connection_limits: {max_unauthenticated: '10:50:20', source_netblock: '24:48'}}",
      "teleport.connection_limits.max_unauthenticated",
      { start: 10, rate: 50, full: 20 },
    ],
    [
      "teleport: {connection_limits: {penalties: {exempt: [10.0.0.0/8, 'fd00::/8', 192.0.2.1]}}}",
      "teleport.connection_limits.penalties.exempt",
      ["10.0.0.0/8", "fd00::/8", "192.0.2.1"],
    ],
    [
      "proxy_service: {openssh_targets: ['db:22', '10.0.0.0/8:*', '[fd00::/8]:22', '*:*']}",
      "proxy_service.openssh_targets",
      [
        { host: "db", port: 22 },
        { host: "10.0.0.0/8", port: "*" },
        { host: "fd00::/8", port: 22 },
        { host: "*", port: "*" },
      ],
    ],
    [
      "proxy_service: {kubernetes: {enabled: yes, public_addr: k}}",
      "proxy_service.kubernetes.public_addr",
      [{ host: "k", port: 3026 }],
    ],
    ["teleport: {nodename: &n a1}\nauth_service: {cluster_name: *n}", "auth_service.cluster_name", "a1"],
  ] as const) {
    test(yaml, () => {
      const value = path
        .split(".")
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], parse(yaml));
      assert.deepEqual(value, want);
    });
  }

  test("tokens are secrets, in the file or in a file of their own", async () => {
    const { auth_service, teleport } = parse(
      "teleport: {auth_token: /run/token}\nauth_service: {tokens: ['proxy, node:xyz', 'trusted_cluster:/run/tc', 'auth:a:b']}",
    );
    assert.deepEqual(
      auth_service.tokens.map(({ roles }) => roles),
      [["proxy", "node"], ["trusted_cluster"], ["auth"]],
    );
    const read = async (path: string) => `secret of ${path}\n`;
    const values = await Promise.all(
      [...auth_service.tokens.map(({ token }) => token), teleport.auth_token ?? assert.fail()].map((source) =>
        resolveSecret(source, read),
      ),
    );
    assert.deepEqual(
      values.map((value) => value.reveal()),
      ["xyz", "secret of /run/tc", "a:b", "secret of /run/token"],
    );
    assert.doesNotMatch(JSON.stringify(auth_service.tokens), /xyz/);
  });

  test("links to other clusters", () => {
    const { auth_service } = parse(
      "auth_service: {trusted_clusters: [{name: main, token: s, web_proxy_addr: 'm:3080', role_map: [{remote: admin, local: dev}]}]}",
    );
    const [{ token: _, ...link } = assert.fail()] = auth_service.trusted_clusters;
    assert.deepEqual(link, {
      name: "main",
      enabled: true,
      web_proxy_addr: "m:3080",
      role_map: [{ remote: "admin", local: ["dev"] }],
    });
  });

  for (const limits of [
    "max_unauthenticated: 10",
    "max_unauthenticated: '20:30:10'",
    "max_unauthenticated: '0:30:10'",
    "max_unauthenticated: '1:101:10'",
    "source_netblock: '33:64'",
    "source_netblock: '32:129'",
    "source_netblock: 32",
    "penalties: {exempt: [10.0.0.0/33]}",
    "penalties: {exempt: [10.0.0.256]}",
    "penalties: {exempt: ['::1/129']}",
    "penalties: {exempt: ['g::1']}",
    "penalties: {exempt: [localhost]}",
    "rates: [{period: 0s, average: 1, burst: 1}]",
    "rates: [{period: 1s, average: 0, burst: 1}]",
    "rates: [{period: 1s, average: 1}]",
  ]) {
    test(`refuses connection_limits of ${limits}`, () =>
      assert.throws(
        () => parse(`teleport: {connection_limits: {${limits}}}`),
        (err) => Fault.is(err, "bad_parameter"),
      ));
  }

  for (const [yaml, complaint] of [
    ["teleport:\n  nodenam: x", 't.yaml:2:3: teleport: unknown key "nodenam"; did you mean "nodename"?'],
    ["auth_servce: {}", 't.yaml:1:1: unknown key "auth_servce"; did you mean "auth_service"?'],
    [
      "auth_service:\n  enabled: yes\n  x: 1\nssh_service:\n  pam:\n    zzz: 1",
      't.yaml:3:3: auth_service: unknown key "x"; known here: enabled, cluster_name, listen_addr, public_addr, tokens, authentication, session_recording, proxy_checks_host_keys, client_idle_timeout, disconnect_expired_cert, keep_alive_interval, keep_alive_count_max, license_file, proxy_protocol, exec_recording_limit, audit_events_uri, audit_sessions_uri, trusted_clusters, authorities, reverse_tunnels\nt.yaml:6:5: ssh_service.pam: unknown key "zzz"; known here: enabled, service_name',
    ],
    ["auth_service:\n  enabled: maybe", 't.yaml:2:12: auth_service.enabled: "maybe" is neither yes nor no'],
    ["ssh_service: []", "t.yaml:1:14: ssh_service: wants keys with values"],
    ["just words", "t.yaml:1:1: wants keys with values"],
    [
      "auth_service:\n  client_idle_timeout: 30x",
      't.yaml:2:24: auth_service.client_idle_timeout: "30x" is not a duration; write it like 90s, 30m or 1h30m',
    ],
    [
      "teleport:\n  auth_servers:\n    - ok\n    - 'not ok'",
      't.yaml:4:7: teleport.auth_servers.1: "not ok" is not an address; write host or host:port',
    ],
    [
      "teleport: {log: {severity: loud}}",
      't.yaml:1:28: teleport.log.severity: "loud" is not one of debug, info, warn, error',
    ],
    ["teleport: {advertise_ip: 0.0.0.0}", /advertise_ip: "0\.0\.0\.0" is not an address at which others/],
    ["teleport: {advertise_ip: 224.0.0.1}", /is not an address at which others/],
    ["teleport: {ca_pin: md5:00}", /ca_pin: only pins of the form sha256:/],
    ["teleport: {ca_pin: abc}", /ca_pin: is not a CA pin/],
    ["teleport: {ciphers: [arcfour]}", /cipher "arcfour" is not supported; known: aes128-gcm@openssh\.com, /],
    [
      "teleport: {kex_algos: [diffie-hellman-group1-sha1]}",
      /KEX "diffie-hellman-group1-sha1" is not supported; known: /,
    ],
    ["teleport: {mac_algos: [hmac-sha1]}", /MAC "hmac-sha1" is not supported; known: /],
    ["ssh_service: {accept_env: ['A B']}", /accept_env\.0: "A B" is no variable's name; write DEPLOY_ENV/],
    ["teleport: {ciphersuites: [x]}", /cipher suite "x" is not supported/],
    [
      "teleport: {storage: {type: tape}}",
      't.yaml:1:28: teleport.storage.type: unsupported secrets storage type: "tape"; known: dir, sqlite',
    ],
    ["teleport: {storage: {paht: /x}}", /t\.yaml:1:22: teleport\.storage: unknown key "paht"/],
    [
      "teleport: {storage: {audit_events_uri: 'etcd://x'}}",
      /etcd:\/\/ cannot keep audit events; .*state only/,
    ],
    ["teleport: {storage: {audit_sessions_uri: 'dynamodb://x'}}", /dynamodb:\/\/ cannot keep recordings/],
    ["auth_service: {authentication: {type: saml}}", /authentication\.type: unsupported .*saml.*oidc/],
    ...["proxy.example.com", "http://proxy.example.com", "android:apk-key-hash:x"].map(
      (id) =>
        [`auth_service: {authentication: {u2f: {app_id: '${id}'}}}`, /is not an https:\/\/ address/] as const,
    ),
    ...["10.0.0.1:3080", "[::1]:3080"].map(
      (at) =>
        [
          `auth_service: {authentication: {u2f: {app_id: 'https://${at}'}}}`,
          /for names only, not for an IP/,
        ] as const,
    ),
    ["auth_service: {authentication: {second_factor: webauthn}}", /security keys need u2f\.app_id/],
    [
      "auth_service: {dynamic_config: yes}",
      /t\.yaml:1:16: auth_service\.dynamic_config is no longer possible/,
    ],
    ["auth_service: {keep_alive_count_max: 0}", /"0" is not a whole number from 1 to 1000/],
    [
      "auth_service: {audit_events_uri: 'file:///a'}\nteleport: {storage: {audit_events_uri: 'file:///b'}}",
      /t\.yaml:1:34: auth_service\.audit_events_uri: differs from teleport\.storage\.audit_events_uri/,
    ],
    ["proxy_service: {openssh_targets: [db]}", /"db" is not a target; write host:port/],
    ["ssh_service: {commands: [{name: a, command: []}]}", /commands\.0\.command: wants a program/],
    ["a: 1\n\tb: 2", "t.yaml:2:1: this is not valid YAML: tabs are not allowed as indentation"],
    ["teleport: {}\nteleport: {}", "t.yaml:2:1: this is not valid YAML: map keys must be unique"],
    ["teleport: *x", /^t\.yaml:1:11: /],
    ["? [a]\n: 1", "t.yaml:1:3: a key must be a plain word"],
    ["{}\n---\n{}", "t.yaml: a configuration is one YAML document, this file holds several"],
  ] as const) {
    test(`refuses ${JSON.stringify(yaml)}`, () => {
      assert.throws(
        () => parse(yaml),
        (err) => {
          assert.ok(Fault.is(err, "bad_parameter"), String(err));
          if (typeof complaint === "string") assert.equal(err.message, complaint);
          else assert.match(err.message, complaint);
          return true;
        },
      );
    });
  }

  test("old and misplaced keys are read with a warning (CFG-29, CFG-57..61)", () => {
    const { file, warnings } = parseConfigFile(
      [
        "teleport:",
        "  seed_config: yes",
        "  ssh_service:",
        "    pam: {enabled: yes}",
        "    labels: {a: nested}",
        "ssh_service:",
        "  labels: {a: top}",
        "auth_service:",
        "  kubeconfig_file: /k",
        "  domain_name: d",
        "  authorities: [{type: HOST, domain_name: a, checking_keys: k, signing_keys: [/s]}]",
        "  reverse_tunnels: {domain_name: a, addresses: 'a:3024'}",
        "  oidc_connectors: [{id: x}]",
        "  trusted_clusters: [{key_file: k, allow_logins: a, tunnel_addr: t}]",
        "proxy_service: {reverse_tunnels: [x]}",
      ].join("\n"),
      "t.yaml",
    );
    assert.equal(file.ssh_service.pam.enabled, true);
    assert.deepEqual(file.ssh_service.labels, { a: "top" });
    assert.deepEqual(file.auth_service.trusted_clusters, []);
    assert.deepEqual(file.auth_service.authorities, [
      {
        type: "host",
        domain_name: "a",
        checking_keys: ["k"],
        checking_key_files: [],
        signing_keys: [{ file: "/s" }],
        signing_key_files: [],
        allowed_logins: [],
      },
    ]);
    assert.deepEqual(file.auth_service.reverse_tunnels, [
      { domain_name: "a", addresses: ["a:3024"], dial_addrs: [] },
    ]);
    assert.deepEqual(warnings, [
      "t.yaml:3: teleport.ssh_service: ssh_service belongs at the left margin; it is read as if it stood there",
      "t.yaml:2: teleport.seed_config: is ignored",
      "t.yaml:9: auth_service.kubeconfig_file: is ignored; set it under proxy_service.kubernetes",
      "t.yaml:10: auth_service.domain_name: is ignored; use cluster_name",
      "t.yaml:13: auth_service.oidc_connectors: is ignored; create an oidc resource with tctl",
      "t.yaml:15: proxy_service.reverse_tunnels: is ignored; set it under auth_service",
      "t.yaml:14: auth_service.trusted_clusters: entries with key_file are ignored; write them with name, token and web_proxy_addr",
    ]);
  });

  test("a complaint about a misplaced section names the place where it stands", () => {
    assert.throws(
      () => parse("teleport:\n  ssh_service:\n    pam: {enabled: perhaps}"),
      /^Fault: t\.yaml:3:20: /,
    );
  });

  for (const yaml of [
    "__proto__: {enabled: no}",
    "ssh_service: {labels: {__proto__: x}}",
    'ssh_service: {labels: {"__proto__": {polluted: yes}}}',
    "teleport: {storage: {__proto__: {type: dir}}}",
  ]) {
    test(`S61: refuses ${yaml}`, () => {
      assert.throws(() => parse(yaml), /the key "__proto__" is not allowed/);
      assert.equal(({} as Record<string, unknown>).polluted, undefined);
    });
  }
  for (const yaml of [
    "ssh_service: {labels: {'a b': c}}",
    "ssh_service: {commands: [{name: 'a=b', command: [/bin/true]}]}",
  ]) {
    test(`SSH-51: refuses ${yaml}`, () => assert.throws(() => parse(yaml), /cannot be a label's name/));
  }
  test("S61: names of what all objects have are labels like others, and no keys", () => {
    const labels = parse("ssh_service: {labels: {constructor: a, toString: b, hasOwnProperty: c}}")
      .ssh_service.labels;
    assert.deepEqual(Object.entries(labels), [
      ["constructor", "a"],
      ["toString", "b"],
      ["hasOwnProperty", "c"],
    ]);
    for (const key of ["constructor", "toString"])
      assert.throws(() => parse(`teleport: {${key}: x}`), /unknown key/);
  });

  const planted = "hunter2-planted-secret";
  for (const yaml of [
    `teleport: {auth_token: [${planted}]}`,
    `teleport: {auth_token: ${planted}, ca_pin: ${planted}}`,
    `teleport:\n  auth_token: "${planted}\n`,
    `teleport:\n\tauth_token: ${planted}`,
    `auth_service: {tokens: [${planted}]}`,
    `auth_service: {tokens: ["nobody:${planted}"]}`,
    `auth_service: {tokens: [":${planted}"]}`,
    `auth_service: {trusted_clusters: [{token: {a: ${planted}}}]}`,
    `auth_service: {authorities: [{type: host, signing_keys: [{a: ${planted}}]}]}`,
    `auth_service: {authorities: [{type: host, signing_keys: ${planted}}]}`,
    `"${planted}`,
    `auth_token: [ ${planted} ${planted}: x`,
  ]) {
    test(`S72: no complaint quotes the secret in ${JSON.stringify(yaml)}`, () => {
      assert.throws(
        () => parse(yaml),
        (err) => Fault.is(err, "bad_parameter") && !err.message.includes(planted),
      );
    });
  }

  for (const [what, yaml] of [
    [
      "aliases of aliases",
      `a0: &a0 [x, x]\n${Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`).join("\n")}`,
    ],
    ["an alias of itself", "teleport: &a {x: *a}"],
    ["deep nesting", `teleport: ${"[".repeat(20_000)}`],
    ["nested maps", `${"{a: ".repeat(60)}1${"}".repeat(60)}`],
    ["a huge file", `x: ${"y".repeat(2 << 20)}`],
  ] as const) {
    test(`S61: ${what} cost little and are refused`, () => {
      assert.throws(
        () => parse(yaml),
        (err) => Fault.is(err, "bad_parameter"),
      );
    });
  }

  test("no text makes the reader throw anything but a complaint", () => {
    const word = fc.constantFrom(
      "teleport",
      "auth_service",
      "labels",
      "tokens",
      "storage",
      "type",
      "yes",
      "-",
      ":",
      "\n",
      "  ",
      "{",
      "}",
      "[",
      "]",
      "&a",
      "*a",
      "? ",
      "|",
      ">",
      '"',
      "'",
      "#",
      "!!int",
      "__proto__",
      "---",
      "%",
      "\t",
      "<<",
    );
    const yaml = fc.oneof(
      anyText,
      fc.array(fc.oneof(word, fc.string({ maxLength: 3 }))).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(yaml, (text) => {
        try {
          parse(text);
        } catch (err) {
          if (!Fault.is(err, "bad_parameter")) throw err;
        }
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 200) },
    );
  });
  test("no shape of values does either", () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        fc.string({ maxLength: 5 }),
        fc.constant(null),
        fc.array(tie("any"), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom("a", "enabled", "type", "name", "roles", "token", "remote"),
          tie("any"),
          { maxKeys: 3 },
        ),
      ),
    })).any;
    const keys = (section: string) =>
      fc.constantFrom(
        ...Object.keys(parse("")[section as "teleport"]),
        "ssh_service",
        "trusted_clusters",
        "rates",
      );
    const file = fc.record(
      Object.fromEntries(
        ["teleport", "auth_service", "ssh_service", "proxy_service"].map((s) => [
          s,
          fc.oneof(value, fc.dictionary(keys(s), value)),
        ]),
      ),
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(file, (config) => {
        try {
          parse(JSON.stringify(config));
        } catch (err) {
          if (!Fault.is(err, "bad_parameter")) throw err;
        }
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 200) },
    );
  });
});
