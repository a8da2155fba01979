import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { sameKey } from "./public.ts";
import { formatPublicKeyLine, parsePublicKeyLine } from "./text.ts";

const line = readFileSync(new URL("../../../test/vectors/keys/ed25519.pub", import.meta.url), "utf8").trim();
const [type, base64] = line.split(" ") as [string, string];
const { key } = parsePublicKeyLine(line);
const refused = (err: unknown): boolean => Fault.is(err, "bad_parameter");

suite("lines with a public key", () => {
  for (const [prefix, options] of [
    ["cert-authority", { "cert-authority": "" }],
    ["Cert-Authority,no-PTY", { "cert-authority": "", "no-pty": "" }],
    ['from="10.0.0.0/8,*.example.com"', { from: "10.0.0.0/8,*.example.com" }],
    ['command="echo \\"a b\\", c",restrict', { command: 'echo "a b", c', restrict: "" }],
    ['command="ssh-ed25519 AAAA",restrict', { command: "ssh-ed25519 AAAA", restrict: "" }],
    ['command="a\\\\b"', { command: "a\\\\b" }],
  ] as const) {
    test(`options ${prefix} are read`, () => {
      const read = parsePublicKeyLine(`${prefix} ${line} of joe`);
      assert.deepEqual(Object.fromEntries(read.options), options);
      assert.equal(read.comment, "ed25519 of joe");
      const again = parsePublicKeyLine(formatPublicKeyLine(read));
      assert.deepEqual([again.options, again.comment], [read.options, read.comment]);
      assert.ok(sameKey(again.key, key));
    });
  }

  test("a certificate authority is written as the admin guide prints it", () => {
    const options = new Map([["cert-authority", ""]]);
    const comment = "clustername=one&type=user";
    assert.equal(
      formatPublicKeyLine({ key, options, comment }),
      `cert-authority ${type} ${base64} ${comment}`,
    );
  });

  test("a line end and blanks around do not matter", () => {
    assert.equal(parsePublicKeyLine(`  ${type} \t ${base64}\r\n`).comment, "");
  });

  for (const [why, text] of [
    ["nothing", ""],
    ["a comment", "# ssh-ed25519"],
    ["a type alone", type],
    ["a key without type", base64],
    ["another type than the key's", `ssh-rsa ${base64}`],
    ["a quote left open", `command="x ${line}`],
    ["an empty option", `a,,b ${line}`],
    ["a private key", "-----BEGIN OPENSSH PRIVATE KEY-----"],
  ] as const)
    test(`refuses ${why}`, () => assert.throws(() => parsePublicKeyLine(text), refused));

  for (const [why, parts] of [
    ["a comment of two lines", { comment: "a\nssh-ed25519 AAAA" }],
    ["an option of two lines", { options: new Map([["command", "a\nb"]]) }],
    ["an option that ends with a backslash", { options: new Map([["command", "a\\"]]) }],
  ] as const)
    test(`does not write ${why}`, () => assert.throws(() => formatPublicKeyLine({ key, ...parts }), refused));
});
