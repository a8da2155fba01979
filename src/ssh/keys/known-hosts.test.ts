import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { issueCertificate } from "./issue.ts";
import type { PublicKey } from "./key.ts";
import { hostVerifier, matchesHost, parseKnownHosts } from "./known-hosts.ts";
import { parsePrivateKey } from "./private-text.ts";
import { parsePublicKeyLine } from "./text.ts";

const vector = (name: string): string =>
  readFileSync(new URL(`../../../test/vectors/keys/${name}`, import.meta.url), "utf8");
const publicKey = (name: string): PublicKey => parsePublicKeyLine(vector(`${name}.pub`)).key;
const line = (name: string): string => vector(`${name}.pub`).trim();

const now = (): number => Date.UTC(2026, 5, 1);
const verifier = (file: string, host = "db.example.com", port = 22): ((key: PublicKey) => void) =>
  hostVerifier(parseKnownHosts(file), { host, port, now });
const denied =
  (why: RegExp, reason?: string) =>
  (err: unknown): boolean =>
    Fault.is(err, "access_denied") && why.test(err.message) && err.details.reason === reason;

suite("known_hosts patterns", () => {
  for (const [hosts, host, fits] of [
    ["db.example.com", "db.example.com", true],
    ["DB.Example.com", "db.example.com", true],
    ["*.example.com", "db.example.com", true],
    ["*.example.com", "example.com", false],
    ["*", "anything", true],
    ["d?", "db", true],
    ["d?", "d", false],
    ["d?", "dbb", false],
    ["*a*b*", "xxaxxbxx", true],
    ["*a*b*", "xxbxxaxx", false],
    ["*aab", "aaaaab", true],
    ["*.example.com,!db.example.com", "db.example.com", false],
    ["!db.example.com,*.example.com", "db.example.com", false],
    ["*.example.com,!db.example.com", "web.example.com", true],
    ["!db.example.com", "web.example.com", false],
    ["[db.example.com]:2222", "[db.example.com]:2222", true],
    ["[db.example.com]:2222", "db.example.com", false],
    ["[*.example.com]:2222", "[db.example.com]:2222", true],
    ["db.example.com", "dbxexample.com", false],
    ["", "db", false],
    ["|2|a|b", "db", false],
    ["|1|a", "db", false],
  ] as const)
    test(`${JSON.stringify(hosts)} ${fits ? "names" : "does not name"} ${host}`, () =>
      assert.equal(matchesHost(hosts, host), fits));

  test("a pattern made to be slow is not", () => {
    assert.equal(matchesHost(`${"*a".repeat(200)}*b`, "a".repeat(5000)), false);
  });

  test("names hashed by ssh-keygen are found", () => {
    const [a, b, c] = parseKnownHosts(vector("known_hosts-hashed"));
    assert.ok(a && b && c);
    assert.ok(matchesHost(a.hosts, "db.example.com") && matchesHost(b.hosts, "10.0.0.5"));
    assert.ok(matchesHost(c.hosts, "[db.example.com]:2222"));
    assert.ok(!matchesHost(a.hosts, "10.0.0.5") && !matchesHost(c.hosts, "db.example.com"));
  });
});

suite("known_hosts", () => {
  test("blank lines, comments, unknown markers and keys we do not accept are passed over", () => {
    const file = `\n# a comment\nold ${line("dsa")}\nweak ${line("rsa1024")}\n@new x ${line("ed25519")}\r\nbroken\nx ssh-ed25519 AAAA\ndb ${line("ed25519")}\r\n`;
    const hosts = parseKnownHosts(file);
    assert.deepEqual(
      hosts.map(({ hosts, comment }) => [hosts, comment]),
      [["db", "ed25519"]],
    );
  });

  test("a revoked key that cannot be read is an error with its line", () => {
    assert.throws(
      () => parseKnownHosts(`\n@revoked * ssh-ed25519 AAAA`),
      (err) => Fault.is(err, "bad_parameter") && /line 2/.test(err.message),
    );
  });

  test("a plain key is accepted where it is listed, and only there", () => {
    const file = `db.example.com ${line("ed25519")}\n[db.example.com]:2222 ${line("ecdsa256")}`;
    verifier(file)(publicKey("ed25519"));
    verifier(file, "DB.example.com")(publicKey("ed25519"));
    verifier(file, "db.example.com", 2222)(publicKey("ecdsa256"));
    verifier(file, "db.example.com", 2022)(publicKey("ed25519"));
    assert.throws(() => verifier(file)(publicKey("ecdsa256")), denied(/another key/, "changed"));
    assert.throws(
      () => verifier(file, "db.example.com", 2222)(publicKey("ed25519")),
      denied(/\[db.example.com\]:2222 shows another key/, "changed"),
    );
    assert.throws(
      () => verifier(file, "web.example.com")(publicKey("ed25519")),
      denied(/is not known/, "unknown"),
    );
  });

  test("an authority's key is no host's key", () => {
    const file = `@cert-authority * ${line("ca-ed25519")}`;
    assert.throws(() => verifier(file)(publicKey("ca-ed25519")), denied(/is not known/, "unknown"));
  });

  test("a certificate is accepted by an authority listed for the host", () => {
    const file = `@cert-authority *.example.com ${line("ca-ed25519")} type=host`;
    for (const name of ["ed25519", "rsa2048", "ecdsa256"]) verifier(file)(publicKey(`${name}-host-cert`));
    verifier(file, "db.example.com", 3022)(publicKey("ed25519-host-cert"));
  });

  for (const [why, file, host, key, message] of [
    [
      "an authority for other hosts",
      "@cert-authority *.example.org CA",
      "db.example.com",
      "ed25519-host-cert",
      /not trusted/,
    ],
    ["another authority", "@cert-authority * OTHER", "db.example.com", "ed25519-host-cert", /not trusted/],
    ["the authority's key without marker", "* CA", "db.example.com", "ed25519-host-cert", /not trusted/],
    [
      "another name than the principals",
      "@cert-authority * CA",
      "web.example.com",
      "ed25519-host-cert",
      /not for "web/,
    ],
    ["a user certificate", "@cert-authority * CA", "joe", "ed25519-user-cert", /is a user certificate/],
    [
      "a principal that does not match, though its plain key is listed",
      "@cert-authority * CA\n* KEY",
      "web.example.com",
      "ed25519-host-cert",
      /not for "web/,
    ],
    [
      "no authority, though its plain key is listed",
      "* KEY",
      "db.example.com",
      "ed25519-host-cert",
      /not trusted/,
    ],
  ] as const) {
    test(`a certificate is refused with ${why}`, () => {
      const lines = file
        .replace("CA", line("ca-ed25519"))
        .replace("OTHER", line("ca-rsa"))
        .replace("KEY", line("ed25519"));
      assert.throws(() => verifier(lines, host)(publicKey(key)), denied(message));
    });
  }

  test("an expired certificate is refused", async () => {
    const ca = parsePrivateKey(vector("ca-ed25519")).key.signer();
    const key = await issueCertificate(
      {
        key: publicKey("ed25519"),
        type: "host",
        keyId: "db",
        serial: 0n,
        principals: ["db.example.com"],
        validAfter: 0n,
        validBefore: BigInt(now() / 1000),
      },
      ca,
    );
    assert.throws(() => verifier(`@cert-authority * ${line("ca-ed25519")}`)(key), denied(/expired/));
  });

  for (const [what, key] of [
    ["the key", "ed25519"],
    ["the authority", "ca-ed25519"],
    ["the certificate", "ed25519-host-cert"],
  ] as const) {
    test(`a certificate is refused when ${what} is revoked`, () => {
      const file = `@cert-authority * ${line("ca-ed25519")}\n@revoked * ${line(key)}`;
      assert.throws(() => verifier(file)(publicKey("ed25519-host-cert")), denied(/is revoked/, "revoked"));
    });
  }

  test("a revoked plain key is refused though it is listed, on any port", () => {
    const file = `@revoked db.example.com ${line("ed25519")}\n* ${line("ed25519")}\n[db.example.com]:2222 ${line("ed25519")}`;
    assert.throws(() => verifier(file)(publicKey("ed25519")), denied(/is revoked/, "revoked"));
    assert.throws(
      () => verifier(file, "db.example.com", 2222)(publicKey("ed25519")),
      denied(/is revoked/, "revoked"),
    );
    verifier(file, "web.example.com")(publicKey("ed25519"));
  });
});
