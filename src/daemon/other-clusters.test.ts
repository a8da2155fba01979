import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { type Config, load } from "#config";
import { Fault } from "#core/errors";
import { formatPublicKeyLine, generateKey } from "#ssh/keys";
import { examine } from "./examine.ts";
import { otherClusters } from "./other-clusters.ts";

const { configure, parseConfigFile } = await load();
const read = (authService: string): Config =>
  configure({
    file: parseConfigFile(`auth_service:\n${authService}`, "file"),
    flags: {},
    defaults: { nodename: "host", dataDir: tmpdir() },
  }).config;

/** What `teleport configure --test` says of other clusters. */
const examined = async (authService: string): Promise<string[]> =>
  (await examine(read(authService)))
    .filter(({ text }) => /^auth_service\.(trusted_clusters|authorities)/.test(text))
    .map(({ kind, text }) => `${kind} ${text}`);

suite("other clusters in the file", () => {
  test("teleport configure --test tells what could never be a link, each at its entry, and no token", async () => {
    const said = await examined(`
  cluster_name: east
  trusted_clusters:
  - {name: east, token: planted-1, web_proxy_addr: "a:3080"}
  - {name: main, token: planted-2, web_proxy_addr: "https://main"}
  - {name: main, token: /nowhere/token, web_proxy_addr: "b:3080"}
  - {name: c, token: planted-3, web_proxy_addr: "c:3080", role_map: [{remote: a, local: "*"}]}
  - {name: d, token: planted-4, web_proxy_addr: "d:3080", roles: a, role_map: [{remote: a, local: a}]}
  - {name: e, token: planted-5, web_proxy_addr: "e:3080", role_map: []}
  - {name: f, token: planted-6, web_proxy_addr: "f:3080"}
`);
    const shapes = [
      /^file .*\.0: name: remote cluster name can not be the same as local cluster name$/,
      /^file .*\.1: web_proxy_addr: "https:\/\/main" is not an address/,
      /^file .*\.2: name: "main" is there twice/,
      /^machine .*\.2\.token: cannot read \/nowhere\/token: it is not there$/,
      /^file .*\.3: trusted cluster "c", spec\.role_map\[0\]\.local: .*wildcards/,
      /^file .*\.4: .*is the older form of role_map/,
      /^file .*\.5: .*spec\.role_map: is empty/,
    ];
    assert.equal(said.length, shapes.length, said.join("\n"));
    for (const [i, shape] of shapes.entries()) assert.match(said[i] ?? "", shape);
    assert.doesNotMatch(said.join(), /planted/);
  });

  test("and what of an older file is passed over", async () => {
    assert.deepEqual(await examined("  authorities: [{type: host, domain_name: main, checking_keys: x}]"), [
      'warning auth_service.authorities: the cluster "main" is passed over: the host authority: the line is not a public key: want type, base64, comment',
    ]);
    assert.deepEqual(
      await examined("  authorities: [{type: host, domain_name: main, checking_key_files: /nowhere/k}]"),
      ["machine auth_service.authorities: cannot read /nowhere/k: ENOENT"],
    );
    assert.deepEqual(await examined("  trusted_clusters: []"), []);
  });

  test("S72: tokens and keys are read from their files when they are asked for; a token shows nowhere before", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clusters-"));
    try {
      const [token, keys] = [join(folder, "token"), join(folder, "ca.pub")];
      const config = read(`
  trusted_clusters: [{name: a, token: ${token}, web_proxy_addr: a}, {name: b, token: planted, web_proxy_addr: b}]
  authorities: [{type: host, domain_name: c, checking_key_files: ${keys}, allowed_logins: [root]}]
  reverse_tunnels: [{domain_name: c, addresses: "c:1", dial_addrs: "c:2"}]`);
      assert.doesNotMatch(JSON.stringify(config), /planted/);
      const { links, trust } = otherClusters(config);
      const [a, b] = links;
      await assert.rejects(a?.token() ?? assert.fail(), (err) => Fault.is(err, "not_found"));
      await writeFile(token, "  of-the-file\n");
      assert.deepEqual([await a?.token(), await b?.token()], ["of-the-file", "planted"]);
      const key = formatPublicKeyLine({ key: (await generateKey("ed25519")).publicKey });
      await writeFile(keys, `${key}\n`);
      assert.deepEqual(await trust?.(), {
        authorities: [
          { type: "host", domain_name: "c", keys: [`${key}\n`], signs: false, namesLogins: true },
        ],
        tunnels: [{ domain_name: "c", addresses: ["c:1", "c:2"] }],
      });
    } finally {
      await rm(folder, { recursive: true });
    }
    assert.equal(otherClusters(read("  tokens: []")).trust, undefined);
  });
});
