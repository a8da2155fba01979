import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { suite, test } from "node:test";
import { hour } from "#core/clock";
import { Fault } from "#core/errors";
import { authorityPin, issueTls, makeAuthority, makeTlsKey, readSubject } from "./index.ts";

const now = Date.UTC(2026, 0, 1);
const traits = '{"logins":["root","jo\\"e"]}';

suite("X.509", () => {
  for (const keyType of ["ecdsa-p256", "rsa-2048"] as const) {
    test(`an authority (${keyType}) signs a leaf that verifies, and its subject comes back`, async () => {
      const ca = await makeAuthority({ clusterName: "main", keyType, now });
      const { publicKey } = await makeTlsKey("ecdsa-p256");
      const subject = {
        commonName: "joe",
        organizations: ["admin", "dba"],
        organizationalUnits: [],
        localities: ["root", "joe, of main"],
        states: ["system:masters"],
        postalCode: traits,
      };
      const leaf = await issueTls({
        ca,
        publicKey,
        subject,
        dnsNames: ["teleport.cluster.local"],
        ips: ["127.0.0.1"],
        notBefore: now,
        notAfter: now + hour,
      });
      const cert = new X509Certificate(leaf);
      assert.ok(cert.verify(new X509Certificate(ca.cert).publicKey));
      assert.ok(cert.checkIssued(new X509Certificate(ca.cert)));
      assert.equal(cert.ca, false);
      assert.equal(cert.checkHost("teleport.cluster.local"), "teleport.cluster.local");
      assert.equal(cert.checkIP("127.0.0.1"), "127.0.0.1");
      assert.equal(Date.parse(cert.validTo), now + hour);
      assert.deepEqual(readSubject(leaf), subject);
      assert.deepEqual(readSubject(cert.raw), subject);
    });
  }

  test("the pin is of the public key: the same for a renewed certificate, another for another key", async () => {
    const one = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now });
    const two = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now });
    assert.match(authorityPin(one.cert), /^sha256:[0-9a-f]{64}$/);
    assert.notEqual(authorityPin(one.cert), authorityPin(two.cert));
  });

  for (const [why, key] of [
    ["not a key", "hello"],
    [
      "an Ed25519 key",
      "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----",
    ],
  ] as const) {
    test(`refuses ${why}`, async () => {
      const ca = await makeAuthority({ clusterName: "main", keyType: "ecdsa-p256", now });
      await assert.rejects(
        issueTls({ ca, publicKey: key, subject: { commonName: "x" }, notBefore: now, notAfter: now + 1000 }),
        (err) => Fault.is(err, "bad_parameter"),
      );
    });
  }
});
