// tctl, tsh's reader and the auth service together, in this process.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, suite, test } from "node:test";
import type { AuthClient } from "#authclient";
import { day, hour } from "#core/clock";
import { Fault } from "#core/errors";
import { readSubject, validity } from "#pki";
import { checkCertificate, noExpiry, parsePrivateKey, parsePublicKeyLine, sameKey } from "#ssh/keys";
import { type Cluster, cluster, role } from "../src/auth/testing/cluster.ts";
import { programWith } from "../src/cli/tctl/program.ts";
import { runLine } from "../src/cli/testing.ts";
import { readIdentity } from "../src/client/identity-file.ts";

suite("tctl auth sign", () => {
  let c: Cluster;
  let rsaCluster: Cluster;
  let folder: string;
  const uid = process.getuid?.() ?? -1;
  const at = (name: string): string => join(folder, name);

  before(async () => {
    c = await cluster();
    await c.admin["roles.put"]({
      role: role("ci", { options: { max_session_ttl: "1h" }, allow: { logins: ["{{internal.logins}}"] } }),
    });
    await c.addUser("ci", { roles: ["ci"], traits: { logins: ["deploy"] } });
    await c.addUser("nowhere", { roles: ["ci"] });
    rsaCluster = await cluster({ keyType: "rsa" });
    await rsaCluster.addUser("ci", { traits: { logins: ["deploy"] } });
  });
  after(async () => {
    await c[Symbol.asyncDispose]();
    await rsaCluster[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sign-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const tctl = (args: string, on = c) => {
    const auth = Object.assign(Object.create(on.admin), { close() {} }) as AuthClient;
    const line = args.split(" ").map((word) => word.replace("@", `${folder}/`));
    return runLine(
      programWith(async () => auth),
      line,
    );
  };
  const mustTctl = async (args: string, on = c): Promise<string> => {
    const { code, out, err } = await tctl(args, on);
    assert.equal(code, 0, err);
    return out;
  };
  const modes = async () =>
    Object.fromEntries(
      await Promise.all(
        (await readdir(folder))
          .sort()
          .map(async (name) => [name, ((await lstat(at(name))).mode & 0o777).toString(8)]),
      ),
    );
  const pair = async (name: string) => {
    const { key } = parsePrivateKey(await readFile(at(name), "utf8"));
    const { key: certificate } = parsePublicKeyLine(await readFile(at(`${name}-cert.pub`), "utf8"));
    assert.ok(certificate.certificate && sameKey(certificate.certificate.key, key.publicKey));
    return { type: key.publicKey.type, certificate, said: certificate.certificate };
  };

  test("TCT-53: for a user writes one file that tsh -i reads, good for 12 hours", async () => {
    assert.equal(
      await mustTctl("auth sign --user=ci --out=@ci"),
      `The certificate has been written to ${at("ci")}\n`,
    );
    assert.deepEqual(await modes(), { ci: "600" });
    const { credentials, cluster: name } = await readIdentity(at("ci"), uid);
    assert.deepEqual([credentials.user, name], ["ci", "main"]);
    const ends = BigInt((c.clock.now() + 12 * hour) / 1000);
    assert.equal(credentials.certificate?.certificate?.validBefore, ends);
    assert.deepEqual(readSubject(credentials.tls?.cert ?? "").localities, ["deploy"]);
    assert.equal(credentials.key.publicKey.type, "ssh-ed25519");
    assert.equal(credentials.hostAuthorities[0]?.cluster, "main");
    assert.equal(credentials.tlsAuthorities.length, 1);
  });

  test("TCT-53: --ttl goes past what the roles allow", async () => {
    await mustTctl("auth sign --user=ci --out=@ci --ttl=2000h");
    const { credentials } = await readIdentity(at("ci"), uid);
    const ends = c.clock.now() + 2000 * hour;
    assert.equal(credentials.certificate?.certificate?.validBefore, BigInt(ends / 1000));
    assert.equal(validity(credentials.tls?.cert ?? "").notAfter, ends);
  });

  test("TCT-53: --format=openssh writes the pair, --compat=oldssh without what old servers stumble over", async () => {
    await mustTctl("auth sign --user=ci --out=@ci --format=openssh --compat=oldssh");
    assert.deepEqual(await modes(), { ci: "600", "ci-cert.pub": "600" });
    const { said } = await pair("ci");
    assert.deepEqual([said.type, said.keyId, said.principals], ["user", "ci", ["deploy"]]);
    assert.equal(said.extensions.has("teleport-roles"), false);
  });

  test("--format=tls writes a key, its certificate, and whom to trust", async () => {
    await mustTctl("auth sign --user=nowhere --out=@ci --format=tls");
    assert.deepEqual(await modes(), { "ci.cas": "600", "ci.crt": "600", "ci.key": "600" });
    const cert = new X509Certificate(await readFile(at("ci.crt")));
    const { createPrivateKey } = await import("node:crypto");
    assert.ok(cert.checkPrivateKey(createPrivateKey(await readFile(at("ci.key")))));
    assert.equal(readSubject(await readFile(at("ci.cas"), "utf8")).commonName, "main");
  });

  for (const [keyType, ssh, tls] of [
    ["rsa", "ssh-rsa", "rsa"],
    ["ecdsa", "ecdsa-sha2-nistp256", "ec"],
    ["ed25519", "ssh-ed25519", "ec"],
  ] as const) {
    test(`--key-type=${keyType}, for users and hosts`, async () => {
      await mustTctl(`auth sign --user=ci --out=@ci --key-type=${keyType}`);
      const { credentials } = await readIdentity(at("ci"), uid);
      assert.equal(credentials.key.publicKey.type, ssh);
      assert.equal(new X509Certificate(credentials.tls?.cert ?? "").publicKey.asymmetricKeyType, tls);
      await mustTctl(`auth sign --host=db --out=@db --key-type=${keyType}`);
      assert.equal((await pair("db")).type, ssh);
    });
  }

  test("keys are RSA without a word where the cluster's own are", async () => {
    await mustTctl("auth sign --user=ci --out=@ci", rsaCluster);
    assert.equal((await readIdentity(at("ci"), uid)).credentials.key.publicKey.type, "ssh-rsa");
    await mustTctl("auth sign --host=db --out=@db", rsaCluster);
    assert.equal((await pair("db")).type, "ssh-rsa");
  });

  test("TCT-52: for a host writes a pair without end, under exactly the names given", async () => {
    const out = await mustTctl("auth sign --host=db.example.com,db --format=openssh --out=@db");
    assert.equal(out, `The certificate has been written to ${at("db")}, ${at("db-cert.pub")}\n`);
    assert.deepEqual(await modes(), { db: "600", "db-cert.pub": "600" });
    const { said, certificate } = await pair("db");
    const ca = parsePublicKeyLine(
      (await c.admin["authorities.list"]({ type: "host" }))[0]?.spec.checking_keys[0] ?? "",
    ).key;
    const isAuthority = (key: Parameters<typeof sameKey>[0]): boolean => sameKey(key, ca);
    checkCertificate(certificate, { type: "host", isAuthority, now: c.clock.now() });
    assert.deepEqual([said.principals, said.validBefore], [["db.example.com", "db"], noExpiry]);
    await mustTctl("auth sign --host=db -o @short --ttl=24h");
    assert.equal((await pair("short")).said.validBefore, BigInt((c.clock.now() + day) / 1000));
  });

  test("TCT-52: names with capitals are signed, and a note tells that OpenSSH will not find them", async () => {
    const { err, code } = await tctl("auth sign --host=Db,db2 --out=@db");
    assert.deepEqual(
      [code, err],
      [0, "note: OpenSSH looks for names in small letters, and will not find Db\n"],
    );
    assert.deepEqual((await pair("db")).said.principals, ["Db", "db2"]);
  });

  test("the private keys stay with tctl", async () => {
    const sent: unknown[] = [];
    const spy = new Proxy(c.admin, {
      get: (client, name) =>
        name === "close" || name === "then"
          ? name === "close"
            ? () => {}
            : undefined
          : (input: unknown) => {
              sent.push(input);
              return (client as unknown as Record<string | symbol, (input: unknown) => unknown>)[name]?.(
                input,
              );
            },
    });
    for (const line of [`--user=ci --out=${at("ci")}`, `--host=db --out=${at("db")}`]) {
      const program = programWith(async () => spy as unknown as AuthClient);
      assert.equal((await runLine(program, ["auth", "sign", ...line.split(" ")])).code, 0);
    }
    const text = JSON.stringify(sent);
    const decoded = [...text.matchAll(/[A-Za-z0-9+/=]{40,}/g)].map(([one]) =>
      Buffer.from(one, "base64").toString(),
    );
    assert.ok(decoded.some((one) => one.startsWith("ssh-ed25519 ")));
    for (const one of [text, ...decoded]) assert.doesNotMatch(one, /PRIVATE KEY/);
  });

  for (const [line, why] of [
    ["", /--user, or a host with --host/],
    ["--user=ci --host=db --out=@x", /--user, or a host with --host/],
    ["--user=ci", /say where to write the identity with --out/],
    ["--user=ci --out=@x --format=kubernetes", /not there yet/],
    ["--user=ci --out=@x --format=pem", /"pem" is not one of/],
    ["--host=db --out=@x --format=file", /"file" is for users; hosts get --format=openssh/],
    ["--host=db --out=@x --compat=oldssh", /--compat/],
    ["--host=, --out=@x", /no name/],
    ["--host=../x", /is not a host's name/],
    ["--host=db,* --out=@x", /"\*" is not one host's name or address/],
    ["--user=ci --out=@x --ttl=0s", /--ttl/],
    ["--user=ci --out=@x --ttl=100000h", /ten years/],
  ] as const) {
    test(`wrong usage, and nothing is written: ${line}`, async () => {
      const { code, err } = await tctl(`auth sign ${line}`.trim());
      assert.equal(code, 2, err);
      assert.match(err, why);
      assert.deepEqual(await readdir(folder), []);
    });
  }

  test("for an account that is not there, or may log in nowhere, nothing is written", async () => {
    for (const [user, why] of [
      ["nobody", /nobody/],
      ["nowhere", /allowed no login anywhere/],
    ] as const) {
      const { code, err } = await tctl(`auth sign --user=${user} --out=@x`);
      assert.equal(code, 1);
      assert.match(err, why);
    }
    assert.deepEqual(await readdir(folder), []);
  });

  test("files that are there stay, and nothing is issued; --overwrite replaces them", async () => {
    await writeFile(at("db-cert.pub"), "mine");
    const issued = c.events.length;
    const { code, err } = await tctl("auth sign --host=db --out=@db");
    assert.deepEqual(
      [code, err],
      [1, `error: ${at("db-cert.pub")} is there already; --overwrite replaces it\n`],
    );
    assert.deepEqual(await readdir(folder), ["db-cert.pub"]);
    assert.equal(c.events.length, issued);
    await mustTctl("auth sign --host=db --out=@db --overwrite");
    assert.equal((await pair("db")).said.keyId, "db.main");
  });

  test("nothing but a file is replaced, and a link itself, not what it leads to", async () => {
    await mkdir(at("folder"));
    const { code, err } = await tctl("auth sign --user=ci --out=@folder --overwrite");
    assert.deepEqual([code, /is no file/.test(err)], [2, true]);
    await symlink("/dev/null", at("null"));
    assert.equal((await tctl("auth sign --user=ci --out=@null --overwrite")).code, 2);
    await writeFile(at("target"), "mine");
    await symlink(at("target"), at("link"));
    await mustTctl("auth sign --user=ci --out=@link --overwrite");
    assert.equal(await readFile(at("target"), "utf8"), "mine");
    assert.ok((await lstat(at("link"))).isFile());
  });

  test("a folder that is not there is named", async () => {
    const { code, err } = await tctl("auth sign --user=ci --out=@no/ci");
    assert.deepEqual([code, /cannot write to .*: there is no such folder/.test(err)], [1, true]);
  });

  test("TCT-55: auth gen makes a key pair, without asking anybody", async () => {
    const program = programWith(() => Promise.reject(new Fault("internal", "the auth server was asked")));
    const line = ["auth", "gen", `--priv-key=${at("key")}`, `--pub-key=${at("key.pub")}`];
    assert.equal((await runLine(program, line)).code, 0);
    assert.deepEqual(await modes(), { key: "600", "key.pub": "600" });
    const { key } = parsePrivateKey(await readFile(at("key"), "utf8"));
    assert.ok(sameKey(key.publicKey, parsePublicKeyLine(await readFile(at("key.pub"), "utf8")).key));
    assert.equal((await runLine(program, line)).code, 1);
    assert.equal((await runLine(program, ["auth", "gen"])).code, 2);
    assert.doesNotMatch((await runLine(program, ["auth", "--help"])).out, /\bgen\b/);
  });

  suite("tctl auth ls", () => {
    test("tells the authorities, by fingerprints that auth export takes", async () => {
      const [ca] = await c.admin["authorities.list"]({ type: "user" });
      const listed = JSON.parse(await mustTctl("auth ls --format=json"));
      assert.deepEqual(
        listed.map((one: { type: string; cluster_name: string }) => [one.type, one.cluster_name]),
        [
          ["host", "main"],
          ["user", "main"],
        ],
      );
      const [ssh, tls] = listed[1].keys;
      assert.deepEqual(
        [ssh.use, ssh.type, ssh.signs, tls.use, tls.signs],
        ["ssh", "ssh-ed25519", true, "tls", true],
      );
      assert.equal(
        await mustTctl(`auth export --type=user --fingerprint=${ssh.fingerprint}`),
        `cert-authority ${ca?.spec.checking_keys[0]} clustername=main&type=user\n`,
      );
      const hostTls = listed[0].keys[1].fingerprint;
      assert.match(await mustTctl(`auth export --type=tls --fingerprint=${hostTls}`), /BEGIN CERTIFICATE/);
      assert.doesNotMatch(JSON.stringify(listed), /PRIVATE/);
    });

    test("for people: a row a key, which sign and which are only trusted", async () => {
      const [ca] = await c.admin["authorities.list"]({ type: "user" });
      assert.ok(ca);
      const old = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFSWbVj7BqKmtkqx9mx1UEdTGFyVmmuiDbVFkHMHWFOw";
      const rotation = { state: "in_progress" as const, phase: "update_clients" as const };
      const auth = {
        "cluster.status": async () => ({
          cluster_name: "main",
          server_version: "5.0.0",
          ca_pins: [],
          cas: [{ ...ca, spec: { ...ca.spec, checking_keys: [...ca.spec.checking_keys, old], rotation } }],
        }),
        close() {},
      } as unknown as AuthClient;
      const { out } = await runLine(
        programWith(async () => auth),
        ["auth", "ls"],
      );
      const rows = out.trim().split("\n").slice(2);
      assert.match(out, /^CA +Cluster Name +Key +Fingerprint +State +Rotation\n/);
      assert.equal(rows.length, 3);
      assert.match(rows[0] ?? "", /^user main +ssh-ed25519 SHA256:\S+ +signs +rotating clients$/);
      assert.match(rows[1] ?? "", /^user main +ssh-ed25519 SHA256:\S+ +trusted /);
      assert.match(rows[2] ?? "", /^user main +x509 +SHA256:\S+ +signs until 20\d\d-\d\d-\d\d /);
    });
  });
});
