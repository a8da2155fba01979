import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, suite, test } from "node:test";
import { Fault } from "#core/errors";
import { issueTls, makeAuthority, makeTlsKey } from "#pki";
import { formatPublicKeyLine, generateKey, issueCertificate, type PrivateKey, sameKey } from "#ssh/keys";
import { type Credentials, expiryOf, Keystore, knowsCluster, rolesOf, signerOf } from "./keystore.ts";

suite("the keystore", () => {
  let home: string;
  let store: Keystore;
  let ca: PrivateKey;
  let tls: { cert: string; key: string };
  let authority: string;
  const ends = Date.UTC(2030, 0, 1);

  before(async () => {
    const tlsCa = await makeAuthority({
      clusterName: "main",
      keyType: "ecdsa-p256",
      now: Date.UTC(2026, 0, 1),
    });
    authority = tlsCa.cert;
    ca = await generateKey("ed25519");
    const key = await makeTlsKey("ecdsa-p256");
    const cert = await issueTls({
      ca: tlsCa,
      publicKey: key.publicKey,
      subject: { commonName: "joe", organizations: ["admin", "dev"] },
      notBefore: ends - 1000,
      notAfter: ends,
    });
    tls = { cert, key: key.privateKey };
  });
  beforeEach(async () => {
    home = join(await mkdtemp(join(tmpdir(), "keys-")), ".tsh");
    store = new Keystore(home);
  });
  afterEach(() => rm(join(home, ".."), { recursive: true }));

  async function credentials(user = "joe"): Promise<Credentials> {
    const key = await generateKey("ed25519");
    const certificate = await issueCertificate(
      {
        key: key.publicKey,
        type: "user",
        keyId: user,
        serial: 0n,
        principals: ["root"],
        validAfter: 0n,
        validBefore: BigInt(ends / 1000),
      },
      ca.signer(),
    );
    return {
      user,
      key,
      certificate,
      tls,
      tlsAuthorities: [authority],
      hostAuthorities: [{ cluster: "main", key: ca.publicKey }],
      hostKeys: [],
    };
  }

  test("a cluster is known by what certifies its hosts and by what certifies its auth service", async () => {
    const known = { ...(await credentials()), tlsAuthorities: [authority] };
    const hosts = (cluster: string) => [{ cluster, key: ca.publicKey }];
    assert.ok(knowsCluster({ ...known, hostAuthorities: hosts("main") }, "main"));
    assert.ok(!knowsCluster({ ...known, hostAuthorities: [...hosts("main"), ...hosts("east")] }, "east"));
    assert.ok(!knowsCluster({ ...known, hostAuthorities: hosts("east") }, "main"));
  });

  test("gives back what was put in", async () => {
    const saved = await credentials();
    await store.save("proxy", saved);
    const loaded = await store.load("proxy", "joe");
    assert.ok(loaded?.certificate && saved.certificate);
    assert.ok(sameKey(loaded.certificate, saved.certificate));
    assert.ok(sameKey(loaded.key.publicKey, saved.key.publicKey));
    assert.deepEqual([loaded.tls, loaded.tlsAuthorities], [tls, [authority]]);
    assert.deepEqual(
      loaded.hostAuthorities.map(({ cluster }) => cluster),
      ["main"],
    );
    assert.equal(expiryOf(loaded), ends);
    assert.deepEqual(rolesOf(loaded), ["admin", "dev"]);
    assert.equal(signerOf(loaded).publicKey.certificate?.keyId, "joe");
    assert.equal(await store.load("proxy", "mia"), undefined);
  });
  test("what certifies hosts is replaced over a rotation, for OpenSSH too, where there is a login", async () => {
    const saved = await credentials();
    const fresh = await generateKey("ed25519");
    const learnt = {
      tlsAuthorities: ["-----BEGIN CERTIFICATE-----\nbmV3\n-----END CERTIFICATE-----\n"],
      hostAuthorities: [{ cluster: "main", key: fresh.publicKey }],
    };
    await store.relearn("proxy", "main", learnt);
    assert.equal(await store.load("proxy", "joe"), undefined);
    await store.save("proxy", saved);
    await store.trust({ host: "db:22@main", key: ca.publicKey });
    await store.relearn("proxy", "main", learnt);
    const loaded = await store.load("proxy", "joe");
    assert.deepEqual(loaded?.tlsAuthorities, learnt.tlsAuthorities);
    assert.deepEqual(
      loaded?.hostAuthorities.map(({ key }) => sameKey(key, fresh.publicKey)),
      [true],
    );
    assert.equal(loaded?.hostKeys.length, 1);
    assert.deepEqual(loaded?.tls, saved.tls);
    const path = await store.writeKnownHosts("proxy", "main", saved.hostAuthorities);
    await store.relearn("proxy", "main", learnt);
    const written = await readFile(path, "utf8");
    assert.ok(written.includes(formatPublicKeyLine({ key: fresh.publicKey })));
    assert.ok(!written.includes(formatPublicKeyLine({ key: ca.publicKey })));
  });
  test("S58: nobody else can read any of it, under any umask", async () => {
    const before = process.umask(0);
    try {
      await store.save("proxy", await credentials());
    } finally {
      process.umask(before);
    }
    for (const name of await readdir(home, { recursive: true, withFileTypes: true })) {
      const { mode } = await stat(join(name.parentPath, name.name));
      assert.equal(mode & 0o777, name.isDirectory() ? 0o700 : 0o600, name.name);
    }
    assert.equal((await stat(home)).mode & 0o777, 0o700);
  });
  test("a user without logins has no SSH certificate, and an earlier one goes", async () => {
    await store.save("proxy", await credentials());
    await store.save("proxy", { ...(await credentials()), certificate: undefined });
    const loaded = await store.load("proxy", "joe");
    assert.ok(loaded && loaded.certificate === undefined);
    assert.equal(expiryOf(loaded), ends);
    assert.throws(
      () => signerOf(loaded),
      (err) => Fault.is(err, "access_denied"),
    );
  });
  test("a certificate of another key, or a damaged one, is no login", async () => {
    const [one, two] = [await credentials(), await credentials()];
    await store.save("proxy", one);
    const path = store.keyPath("proxy", "joe");
    await writeFile(`${path}-cert.pub`, formatPublicKeyLine({ key: two.certificate as never }));
    assert.equal(await store.load("proxy", "joe"), undefined);
    await writeFile(`${path}-cert.pub`, "ssh-ed25519-cert-v01@openssh.com AAAA");
    assert.equal(await store.load("proxy", "joe"), undefined);
  });
  for (const [proxy, user] of [
    ["..", "joe"],
    ["a/b", "joe"],
    ["proxy", "../joe"],
    ["proxy", ".."],
    ["proxy", ".hidden"],
    ["proxy", "a\nb"],
    ["proxy", "certs.pem"],
    ["proxy", "joe-cert.pub"],
    ["proxy", "known_hosts"],
    ["proxy", ""],
  ] as const) {
    test(`S57: ${JSON.stringify([proxy, user])} names no files`, async () => {
      await assert.rejects((async () => store.load(proxy, user))(), (err) => Fault.is(err, "bad_parameter"));
    });
  }

  suite("known_hosts", () => {
    const file = (): string => join(home, "known_hosts");
    test("a login replaces its clusters' keys and keeps the others, without duplicates", async () => {
      const [old, next, other] = await Promise.all([1, 2, 3].map(() => generateKey("ed25519")));
      const base = await credentials();
      const known = (cluster: string, key: PrivateKey | undefined) => ({
        cluster,
        key: (key as PrivateKey).publicKey,
      });
      await store.save("proxy", { ...base, hostAuthorities: [known("main", old), known("leaf", other)] });
      await store.trust({ host: "db:22@main", key: (other as PrivateKey).publicKey });
      await store.save("proxy", { ...base, hostAuthorities: [known("main", next), known("main", next)] });
      const lines = (await readFile(file(), "utf8")).trim().split("\n");
      assert.deepEqual(
        lines.map((line) => line.split(" ")[0]),
        ["leaf", "main", "db:22@main"],
      );
      const loaded = await store.load("proxy", "joe");
      assert.deepEqual(
        loaded?.hostKeys.map(({ host }) => host),
        ["db:22@main"],
      );
      assert.deepEqual(
        loaded?.hostAuthorities.map(({ cluster }) => cluster),
        ["leaf", "main"],
      );
    });
    test("by lines that make no sense nothing is trusted", async () => {
      const saved = await credentials();
      await store.save("proxy", saved);
      const good = formatPublicKeyLine({ key: ca.publicKey });
      const bad = [
        "",
        "# comment",
        "main",
        "main ssh-ed25519 AAAA",
        `@cert-authority * ${good}`,
        `* ${good}`,
        `main,other ${good}`,
        `|1|salt|hash ${good}`,
        `main command="x" ${good}`,
        `main ${formatPublicKeyLine({ key: saved.certificate as never })}`,
        "\u0000\u0001 garbage",
      ];
      await writeFile(file(), bad.join("\n"));
      const loaded = await store.load("proxy", "joe");
      assert.deepEqual([loaded?.hostAuthorities, loaded?.hostKeys], [[], []]);
    });
  });
});
