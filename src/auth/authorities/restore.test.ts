import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { type CertAuthority, publicPart } from "#model";
import { type Cluster, cluster } from "../testing/cluster.ts";

const secrets = (c: Cluster) => c.auth.parts.store.authorities.list();
const of = (all: readonly CertAuthority[], type: "user" | "host"): CertAuthority => {
  const found = all.find(({ spec }) => spec.type === type);
  assert.ok(found);
  return found;
};
const withSpec = (ca: CertAuthority, spec: Partial<CertAuthority["spec"]>): CertAuthority => ({
  ...ca,
  spec: { ...ca.spec, ...spec },
});

suite("authorities from a backup", () => {
  test("both are put back with their keys, and sign again", async () => {
    await using before = await cluster();
    await using c = await cluster();
    const backup = await secrets(before);
    await c.admin["authorities.restore"]({ authorities: backup, force: true });
    assert.deepEqual(await secrets(c), backup);
    assert.deepEqual(
      (await c.admin["cluster.status"]({})).ca_pins,
      (await before.admin["cluster.status"]({})).ca_pins,
    );
    const told = c.events.filter(({ code }) => code === "T4130I");
    assert.deepEqual(
      told.map((event) => "kind" in event && event.kind),
      ["user", "host"],
    );
    assert.doesNotMatch(JSON.stringify(c.events), /PRIVATE KEY/);
    await c.addUser("joe");
    await c.signUp("ann");
  });

  test("RES-08: what was printed without keys keeps those that are stored", async () => {
    await using c = await cluster();
    const before = await secrets(c);
    await c.admin["authorities.restore"]({ authorities: before.map(publicPart), force: true });
    assert.deepEqual(await secrets(c), before);
  });

  test("one at a time, in another order of its keys", async () => {
    await using other = await cluster();
    await using c = await cluster();
    const [mine, theirs] = [of(await secrets(c), "host"), of(await secrets(other), "host")];
    const both = withSpec(theirs, {
      checking_keys: [...theirs.spec.checking_keys, ...mine.spec.checking_keys],
      signing_keys: [...(theirs.spec.signing_keys ?? []), ""],
      tls_key_pairs: [...theirs.spec.tls_key_pairs, ...publicPart(mine).spec.tls_key_pairs],
    });
    await c.admin["authorities.restore"]({ authorities: [both], force: true });
    const after = of(await secrets(c), "host");
    assert.equal(after.spec.signing_keys?.[1], mine.spec.signing_keys?.[0]);
    assert.equal(after.spec.tls_key_pairs[1]?.key, mine.spec.tls_key_pairs[0]?.key);
  });

  test("without force it is refused, and nothing changes", async () => {
    await using c = await cluster();
    const before = await secrets(c);
    await assert.rejects(
      c.admin["authorities.restore"]({ authorities: before }),
      (err) => Fault.is(err, "already_exists") && /-f replaces it/.test(err.message),
    );
  });

  for (const [what, spoil, complaint] of [
    [
      "a private key of another",
      (ca, other) => withSpec(ca, { signing_keys: other.spec.signing_keys ?? [] }),
      /spec\.signing_keys\[0\]: is not the private key of spec\.checking_keys\[0\]/,
    ],
    [
      "a key that nobody has",
      (ca, other) => withSpec(ca, { checking_keys: other.spec.checking_keys, signing_keys: [] }),
      /spec\.signing_keys\[0\]: the private key of SHA256:\S+ is neither here nor stored; .*--with-secrets/,
    ],
    [
      "too few private keys",
      (ca) => withSpec(ca, { checking_keys: [...ca.spec.checking_keys, ...ca.spec.checking_keys] }),
      /spec\.signing_keys: wants one for each/,
    ],
    [
      "no SSH key at all",
      (ca) => withSpec(ca, { checking_keys: ["words"] }),
      /spec\.checking_keys\[0\]: the line is not a public key/,
    ],
    [
      "a TLS key of another",
      (ca, other) => {
        const [mine, theirs] = [ca.spec.tls_key_pairs[0], other.spec.tls_key_pairs[0]];
        return withSpec(ca, { tls_key_pairs: [{ cert: mine?.cert ?? "", key: theirs?.key ?? "" }] });
      },
      /spec\.tls_key_pairs\[0\]: the private key is not the certificate's/,
    ],
    [
      "a TLS certificate that nobody has the key of",
      (_, other) => withSpec(other, { tls_key_pairs: publicPart(other).spec.tls_key_pairs }),
      /spec\.tls_key_pairs\[0\]: the private key of this certificate is neither here nor stored/,
    ],
    [
      "what is no certificate",
      (ca) => withSpec(ca, { tls_key_pairs: [{ cert: "words", key: "words" }] }),
      /spec\.tls_key_pairs\[0\]: this is not an X\.509 certificate/,
    ],
    [
      "a key that cannot be read",
      (ca) =>
        withSpec(ca, { tls_key_pairs: [{ cert: ca.spec.tls_key_pairs[0]?.cert ?? "", key: "planted" }] }),
      /spec\.tls_key_pairs\[0\]: the private key cannot be read; (?!.*planted)/,
    ],
    [
      "the authority of another cluster",
      (ca) => ({ ...ca, metadata: { name: "east" } }),
      /metadata: only the authorities of this cluster, "main"/,
    ],
    [
      "one that would vanish",
      (ca) => ({ ...ca, metadata: { ...ca.metadata, expires: "2099-01-01T00:00:00Z" } }),
      /metadata: an authority may not vanish/,
    ],
    [
      "a phase of a rotation that is not under way",
      (ca) => withSpec(ca, { rotation: { state: "standby", phase: "update_clients" } }),
      /spec\.rotation: the file was written during a rotation/,
    ],
    [
      "a backup of the middle of a rotation",
      (ca) => withSpec(ca, { rotation: { state: "in_progress", phase: "init" } }),
      /spec\.rotation: the file was written during a rotation/,
    ],
  ] satisfies [string, (ca: CertAuthority, other: CertAuthority) => CertAuthority, RegExp][]) {
    test(`refuses ${what}, and changes nothing`, async () => {
      await using other = await cluster();
      await using c = await cluster();
      const before = await secrets(c);
      const spoilt = spoil(of(before, "host"), of(await secrets(other), "host"));
      const backup = [of(await secrets(other), "user"), spoilt];
      await assert.rejects(c.admin["authorities.restore"]({ authorities: backup, force: true }), (err) => {
        assert.ok(Fault.is(err, "bad_parameter"), String(err));
        assert.match(err.message, complaint);
        return true;
      });
      assert.deepEqual(await secrets(c), before);
      const [told] = c.events.filter((event) => event.event === "ca.restore");
      assert.ok(told?.code === "T4130W" && complaint.test(told.error));
    });
  }

  test("refuses one of another name's certificate", async () => {
    await using east = await cluster({ clusterName: "east" });
    await using c = await cluster();
    const theirs = of(await secrets(east), "host");
    const renamed = { ...withSpec(theirs, { cluster_name: "main" }), metadata: { name: "main" } };
    await assert.rejects(
      c.admin["authorities.restore"]({ authorities: [renamed], force: true }),
      /the certificate is of the cluster "east", this is "main"/,
    );
  });

  test("refuses a host's authority as that of users: it could make people of machines", async () => {
    await using c = await cluster();
    const posing = withSpec(of(await secrets(c), "host"), { type: "user" });
    await assert.rejects(
      c.admin["authorities.restore"]({ authorities: [posing], force: true }),
      /may not have a key in common/,
    );
  });

  test("refuses two of one kind, and any while a rotation is under way", async () => {
    await using c = await cluster();
    const [host] = [of(await secrets(c), "host")];
    await assert.rejects(
      c.admin["authorities.restore"]({ authorities: [host, host], force: true }),
      /the file has two/,
    );
    await c.auth.parts.store.authorities.put(
      withSpec(host, { rotation: { state: "in_progress", phase: "init" } }),
    );
    await assert.rejects(
      c.admin["authorities.restore"]({ authorities: [host], force: true }),
      /a rotation is under way/,
    );
  });
});
