import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { day } from "#core/clock";
import { Fault } from "#core/errors";
import { judgeChain } from "./chain.ts";

/** A root, what it has issued, and a certificate that that has issued, made by openssl; valid for two days from now. */
function chain() {
  const folder = mkdtempSync(join(tmpdir(), "chain-"));
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void =>
    void execFileSync("openssl", args, { stdio: "ignore", cwd: folder });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  try {
    openssl("req", "-x509", ...key, "-days", "2", "-subj", "/CN=root", "-keyout", "root.key", "-out", "root");
    writeFileSync(at("ca"), "basicConstraints=critical,CA:TRUE\n");
    writeFileSync(at("leaf"), "subjectAltName=DNS:proxy.example.com\n");
    for (const [name, by, kind] of [
      ["middle", "root", "ca"],
      ["proxy", "middle", "leaf"],
    ] as const) {
      openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
      const signer = ["-CA", by, "-CAkey", `${by}.key`, "-CAcreateserial", "-days", "2"];
      openssl("x509", "-req", "-in", `${name}.csr`, ...signer, "-extfile", kind, "-out", name);
    }
    const [root = "", middle = "", proxy = ""] = ["root", "middle", "proxy"].map((name) =>
      readFileSync(at(name), "utf8"),
    );
    return { root, middle, proxy, now: Date.parse(new Date().toUTCString()) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

suite("the chain of the HTTPS certificate (CFG-87)", () => {
  const { root, middle, proxy, now } = chain();
  const trusting = [root];
  const problem = (pem: string, at = now, roots: readonly string[] = trusting): string => {
    const verdict = judgeChain(pem, at, () => roots);
    assert.ok(typeof verdict === "object", String(verdict));
    return verdict.problem;
  };

  test("is trusted when it leads to a root of this machine, whatever the order behind the certificate", () => {
    for (const pem of [proxy + middle, proxy + middle + root, proxy + root + middle])
      assert.equal(
        judgeChain(pem, now, () => trusting),
        "trusted",
      );
  });
  test("a certificate that issued itself is told apart", () =>
    assert.equal(
      judgeChain(root, now, () => []),
      "self-signed",
    ));
  test("an issuer that is missing is named, with what to do", () => {
    assert.match(problem(proxy), /CN=middle, which issued CN=proxy; put the issuing certificates behind it/);
    assert.match(problem(proxy + middle, now, []), /CN=root, which issued CN=middle.*machine's store/);
    // A root in the file proves nothing.
    assert.match(problem(proxy + middle + root, now, []), /CN=root/);
  });
  test("another authority of the same name is none", () => {
    const other = chain();
    assert.match(problem(proxy + other.middle), /CN=middle/);
    assert.match(problem(proxy + middle, now, [other.root]), /CN=root/);
  });
  test("one that has run out, or is of tomorrow, is not", () => {
    assert.match(problem(proxy + middle, now + 3 * day), /ran out on .*; renew it/);
    assert.match(problem(proxy + middle, now - day), /not valid before .*clock/);
  });
  test("what is no certificate is a complaint", () => {
    for (const pem of ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
      assert.throws(
        () => judgeChain(pem, now),
        (err) => Fault.is(err, "bad_parameter"),
      );
  });
  test("the roots of this machine can be read", () => {
    const verdict = judgeChain(proxy + middle, now);
    assert.ok(typeof verdict === "object" && /CN=root/.test(verdict.problem));
  });
});
