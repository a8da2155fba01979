import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, suite, test } from "node:test";
import fc from "fast-check";
import { Fault } from "#core/errors";
import { issueTls, makeAuthority, makeTlsKey, type TlsPair } from "#pki";
import { formatPublicKeyLine, generateKey, issueCertificate, type PrivateKey } from "#ssh/keys";
import { formatIdentity, formatPair, type Identity, parseIdentity, readIdentity } from "./identity-file.ts";
import type { Credentials } from "./keystore.ts";

const begins = Date.UTC(2026, 0, 1);
const ends = Date.UTC(2030, 0, 1);

suite("identity files", () => {
  let userCa: PrivateKey;
  let hostCa: PrivateKey;
  let eastCa: PrivateKey;
  let tlsCa: TlsPair;
  let login: Credentials;
  let text: string;
  /** The file in its blocks. */
  let parts: Record<"key" | "certificate" | "main" | "east" | "tlsKey" | "tlsCert" | "tlsCa", string>;

  before(async () => {
    [userCa, hostCa, eastCa] = await Promise.all([
      generateKey("ed25519"),
      generateKey("ed25519"),
      generateKey("ed25519"),
    ]);
    tlsCa = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now: begins });
    const key = await generateKey("ed25519");
    login = {
      user: "ci",
      key,
      certificate: await certify(key),
      tls: await tlsOf("ci"),
      tlsAuthorities: [tlsCa.cert],
      hostAuthorities: [
        { cluster: "east", key: eastCa.publicKey },
        { cluster: "main", key: hostCa.publicKey },
      ],
      hostKeys: [],
    };
    text = formatIdentity(login);
    const [, a = "", b = "", c = "", d = "", e = "", f = "", g = ""] =
      /^(-.*?-----END OPENSSH PRIVATE KEY-----\n)(ssh-.*?\n)(@.*?\n)(@.*?\n)(-.*?PRIVATE KEY-----\n)(-.*?-----END CERTIFICATE-----\n)(-.*)$/s.exec(
        text,
      ) ?? [];
    parts = { key: a, certificate: b, main: c, east: d, tlsKey: e, tlsCert: f, tlsCa: g };
    assert.equal(Object.values(parts).join(""), text);
  });

  async function certify(key: PrivateKey, type: "user" | "host" = "user") {
    return issueCertificate(
      {
        key: key.publicKey,
        type,
        keyId: "ci",
        serial: 1n,
        principals: ["root"],
        validAfter: 0n,
        validBefore: BigInt(ends / 1000),
      },
      userCa.signer(),
    );
  }
  async function tlsOf(
    commonName: string,
    keyType: "ecdsa-p256" | "rsa-2048" = "ecdsa-p256",
  ): Promise<TlsPair> {
    const { publicKey, privateKey } = await makeTlsKey(keyType);
    const subject = { commonName, organizations: ["ci"] };
    const cert = await issueTls({ ca: tlsCa, publicKey, subject, notBefore: begins, notAfter: ends });
    return { cert, key: privateKey };
  }

  /** What matters of an identity, in texts. */
  const said = ({ cluster, credentials: c }: Identity) => ({
    cluster,
    user: c.user,
    key: c.key.reveal().export({ type: "pkcs8", format: "pem" }),
    certificate: c.certificate && formatPublicKeyLine({ key: c.certificate }),
    tls: c.tls,
    tlsAuthorities: c.tlsAuthorities,
    hostAuthorities: c.hostAuthorities
      .map((ca) => `${ca.cluster} ${formatPublicKeyLine({ key: ca.key })}`)
      .sort(),
  });
  const expected = () => said({ cluster: "main", credentials: login });
  const refused =
    (pattern: RegExp) =>
    (err: unknown): boolean =>
      Fault.is(err, "bad_parameter") &&
      !err.message.includes("\n") &&
      err.message.includes("/id") &&
      pattern.test(err.message);

  test("TSH-55: hold key, certificate, the own cluster's host CA first, then the TLS part", async () => {
    assert.match(parts.key, /^-----BEGIN OPENSSH PRIVATE KEY-----\n/);
    assert.match(parts.certificate, /^ssh-ed25519-cert-v01@openssh\.com \S+\n$/);
    assert.match(parts.main, /^@cert-authority \*\.main ssh-ed25519 \S+ type=host\n$/);
    assert.match(parts.east, /^@cert-authority \*\.east ssh-ed25519 \S+ type=host\n$/);
    assert.match(parts.tlsKey, /^-----BEGIN PRIVATE KEY-----\n/);
    assert.deepEqual(said(await parseIdentity(text, "/id")), expected());
  });

  test("TSH-55: their blocks come in any order, with blank lines, comments and line ends of Windows between them", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(Object.values(parts), { minLength: 7 }),
        fc.array(fc.constantFrom("\n", "# made by hand\n", "  \n", "\r\n"), { minLength: 7, maxLength: 7 }),
        fc.boolean(),
        async (blocks, between, windows) => {
          const whole = blocks.map((block, i) => block + between[i]).join("");
          const file = windows ? whole.replaceAll(/\r?\n/g, "\r\n") : whole;
          assert.deepEqual(said(await parseIdentity(file, "/id")), expected());
        },
      ),
      { numRuns: 60 },
    );
  });

  test("the TLS part may be absent; then the first line's cluster is the user's own", async () => {
    const { key, certificate, main, east } = parts;
    const identity = await parseIdentity(key + certificate + main + east, "/id");
    assert.deepEqual(said(identity), { ...expected(), tls: undefined, tlsAuthorities: [] });
  });

  test("the key may be another program's: one RSA key for SSH and TLS, in PEM", async () => {
    const key = await generateKey("rsa-2048");
    const pem = key.reveal().export({ type: "pkcs1", format: "pem" }).toString();
    const { createPublicKey } = await import("node:crypto");
    const publicKey = createPublicKey(pem).export({ type: "spki", format: "pem" }).toString();
    const subject = { commonName: "ci", organizations: ["ci"] };
    const cert = await issueTls({ ca: tlsCa, publicKey, subject, notBefore: begins, notAfter: ends });
    const line = formatPublicKeyLine({ key: await certify(key) });
    const { credentials } = await parseIdentity(`${pem}${line}\n${parts.main}${cert}${parts.tlsCa}`, "/id");
    assert.equal(credentials.certificate?.type, "ssh-rsa-cert-v01@openssh.com");
    assert.equal(credentials.tls?.cert, cert);
    assert.match(credentials.tls?.key ?? "", /^-----BEGIN PRIVATE KEY-----/);
  });

  test("a pattern with a proxy's names, as administrators write it, is read", async () => {
    const main = parts.main.replace("*.main", "gate.example.com,*.main");
    const identity = await parseIdentity(text.replace(parts.main, main), "/id");
    assert.deepEqual(said(identity), expected());
  });

  for (const [what, file, why] of [
    ["an empty file", () => "", /no private key/],
    [
      "a public key",
      () => formatPublicKeyLine({ key: login.key.publicKey }),
      /line 1 is a public key without a certificate/,
    ],
    [
      "the pair's private key alone",
      () => formatPair(login).key,
      /no certificate in it, and no file \/id-cert\.pub/,
    ],
    [
      "the SSH pair in one file",
      () => parts.key + parts.certificate,
      /no @cert-authority lines.*--format=file/,
    ],
    ["a known_hosts file", () => parts.main, /no private key/],
    ["a configuration", () => "kind: user\nversion: v2\n", /line 1 cannot be read/],
    ["JSON", () => '{"ciphertext": "x"}', /cannot be read/],
    ["bytes", () => "\u0000\ufffd\u0001", /cannot be read/],
    ["a PuTTY key", () => "PuTTY-User-Key-File-3: ssh-ed25519\n", /cannot be read/],
    [
      "a request for a certificate",
      () => "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
      /has no place/,
    ],
    [
      "one that breaks off in the key",
      () => text.slice(0, 200),
      /breaks off in the block that begins at line 1$/,
    ],
    [
      "one that breaks off in the TLS key",
      () => text.slice(0, text.indexOf(parts.tlsKey) + 60),
      /breaks off/,
    ],
    [
      "one that breaks off before the TLS certificate",
      () => text.slice(0, text.indexOf(parts.tlsCert)),
      /a key for TLS without a certificate/,
    ],
    [
      "a damaged key",
      () => text.replace("b3BlbnNzaC1rZXk", "b3BlbnNzaC1rZXX"),
      /private key at line 1 cannot be read/,
    ],
    [
      "a damaged TLS certificate",
      () => text.replace(/(-----BEGIN CERTIFICATE-----\n)..../, "$1AAAA"),
      /certificate at line \d+ cannot be read/,
    ],
    [
      "another user's certificate",
      () => text.replace(parts.certificate, `${formatPublicKeyLine({ key: other })}\n`),
      /its certificate is for another key/,
    ],
    [
      "a host's certificate",
      () => text.replace(parts.certificate, `${formatPublicKeyLine({ key: ofHost })}\n`),
      /not one of a user/,
    ],
    ["two certificates", () => text + parts.certificate, /several certificates/],
    ["two TLS certificates", () => text + parts.tlsCert, /several TLS certificates/],
    [
      "another's TLS key",
      () => text.replace(parts.tlsKey, otherTls.key),
      /TLS certificate is for another key/,
    ],
    [
      "another user's TLS part",
      () => text.replace(parts.tlsKey, ofAnn.key).replace(parts.tlsCert, ofAnn.cert),
      /two certificates are not of the same user/,
    ],
    [
      "no line of the user's own cluster",
      () => text.replace(parts.main, ""),
      /no @cert-authority line of the user's own cluster "main"/,
    ],
    [
      "a line for every host",
      () => text.replace("*.main", "*"),
      /@cert-authority line at line \d+ cannot be read/,
    ],
    [
      "an authority that is a certificate",
      () => text.replace(parts.main, `@cert-authority *.main ${parts.certificate}`),
      /@cert-authority line at/,
    ],
    [
      "a revoked key",
      () => `${text}@revoked * ${parts.main.split(" ").slice(2).join(" ")}`,
      /cannot be read/,
    ],
  ] as const) {
    test(`${what} is refused in one sentence`, async () => {
      await assert.rejects(parseIdentity(file(), "/id"), refused(why));
    });
  }
  let other: Awaited<ReturnType<typeof certify>>;
  let ofHost: Awaited<ReturnType<typeof certify>>;
  let otherTls: TlsPair;
  let ofAnn: TlsPair;
  before(async () => {
    other = await certify(await generateKey("ed25519"));
    ofHost = await certify(login.key, "host");
    otherTls = await tlsOf("ci");
    ofAnn = await tlsOf("ann");
  });

  test("an encrypted key is refused with what to do", async () => {
    const pem = login.key
      .reveal()
      .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
    await assert.rejects(parseIdentity(text.replace(parts.key, String(pem)), "/id"), refused(/passphrase/));
  });

  test("no cut, changed, doubled or foreign text is anything but the same identity or one sentence", async () => {
    const attempt = async (file: string): Promise<void> => {
      try {
        const { credentials } = await parseIdentity(file, "/id");
        // What was not touched cannot have become somebody else.
        assert.equal(credentials.user, "ci");
      } catch (err) {
        assert.ok(Fault.is(err, "bad_parameter") && !err.message.includes("\n"), String(err));
      }
    };
    const at = fc.nat({ max: text.length });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          at.map((i) => text.slice(0, i)),
          at.map((i) => text.slice(i)),
          fc
            .tuple(at, fc.string({ unit: "binary", maxLength: 8 }))
            .map(([i, more]) => text.slice(0, i) + more + text.slice(i)),
          fc.tuple(at, fc.nat({ max: 90 })).map(([i, n]) => text.slice(0, i) + text.slice(i + n)),
          fc.tuple(at, at).map(([i, j]) => text.slice(0, i) + text.slice(j)),
          fc.string({ unit: "binary", maxLength: 400 }),
          fc.shuffledSubarray(text.split("\n")).map((lines) => lines.join("\n")),
        ),
        attempt,
      ),
      { numRuns: 400 },
    );
  });

  suite("on disk", () => {
    let folder: string;
    let path: string;
    const uid = process.getuid?.() ?? -1;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "identity-"));
      path = join(folder, "id");
    });
    afterEach(() => rm(folder, { recursive: true }));
    const write = (mode: number, content = text) =>
      writeFile(path, content, { mode }).then(() => chmod(path, mode));

    test("are read when only their owner can read them", async () => {
      for (const mode of [0o600, 0o400, 0o700]) {
        await write(mode);
        assert.deepEqual(said(await readIdentity(path, uid)), expected());
        await rm(path);
      }
    });

    for (const mode of [0o640, 0o604, 0o644, 0o660, 0o610]) {
      test(`are refused with the mode ${mode.toString(8)}, as ssh does with keys`, async () => {
        await write(mode);
        await assert.rejects(
          readIdentity(path, uid),
          (err) => Fault.is(err, "access_denied") && err.message.includes(`chmod 600 ${path}`),
        );
      });
    }

    test("are read with whatever mode another owner gave them", async () => {
      await write(0o644);
      assert.deepEqual(said(await readIdentity(path, uid + 1)), expected());
    });

    test("have their certificate in FILE-cert.pub when it is not inside", async () => {
      await write(0o600, text.replace(parts.certificate, ""));
      await assert.rejects(readIdentity(path, uid), /no file .*id-cert\.pub$/);
      await writeFile(`${path}-cert.pub`, parts.certificate);
      assert.deepEqual(said(await readIdentity(path, uid)), expected());
      await writeFile(`${path}-cert.pub`, "nonsense\n");
      await assert.rejects(readIdentity(path, uid), /id-cert\.pub is not the certificate of/);
      await writeFile(`${path}-cert.pub`, "");
      await assert.rejects(readIdentity(path, uid), /there is no certificate in it/);
    });

    test("that are not there, are folders or endless are refused", async () => {
      await assert.rejects(readIdentity(path, uid), (err) => Fault.is(err, "not_found"));
      await mkdir(path);
      await assert.rejects(readIdentity(path, uid), /is a folder/);
      await rm(path, { recursive: true });
      await write(0o600, "#".repeat(1_100_000));
      await assert.rejects(readIdentity(path, uid), /too large/);
    });

    test("are not written for who may log in nowhere", () => {
      assert.throws(
        () => formatIdentity({ ...login, certificate: undefined }),
        (err) => Fault.is(err, "access_denied") && /no login/.test(err.message),
      );
    });
  });

  test("a pair is the private key and its certificate as OpenSSH has them", () => {
    assert.deepEqual(formatPair(login).certificate, parts.certificate);
    assert.match(formatPair(login).key, /^-----BEGIN OPENSSH PRIVATE KEY-----\n/);
  });
});
