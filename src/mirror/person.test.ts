import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { adminRole, type CertAuthority, ClusterConfig, neverTime, Role, User } from "#model";
import { formatPublicKeyLine, generateKey, issueCertificate, type PublicKey } from "#ssh/keys";
import { authorityProblem, personOf, userProblem } from "./index.ts";

const now = new TestClock().now();
const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));
const ca = await generateKey("ed25519");
const foreignCa = await generateKey("ed25519");
const key = await generateKey("ed25519");

const authority = (name: string, line: string): CertAuthority => ({
  kind: "cert_authority",
  version: "v2",
  metadata: { name },
  spec: { type: "user", cluster_name: name, checking_keys: [line], tls_key_pairs: [{ cert: "x" }] },
});

/** What a node knows: joe may log in as root, with what `spec` says of him besides. */
function view(spec: Record<string, unknown> = {}, { roles = [adminRole], cluster = "main" } = {}) {
  const joe = User.parse({
    kind: "user",
    version: "v2",
    metadata: { name: "joe" },
    spec: { roles: ["admin"], traits: { logins: ["root"] }, ...spec },
  });
  return {
    config: () => ClusterConfig.parse({ cluster_id: "1", cluster_name: "main" }),
    authorities: () => [authority(cluster, formatPublicKeyLine({ key: ca.publicKey }))],
    user: (name: string) => (name === "joe" ? joe : undefined),
    role: (name: string) => roles.find(({ metadata }) => metadata.name === name),
  };
}

function certificate(
  options: { by?: typeof ca; keyId?: string; extensions?: [string, string][] } = {},
): Promise<PublicKey> {
  const { by = ca, keyId = "joe", extensions = [] } = options;
  return issueCertificate(
    {
      key: key.publicKey,
      type: "user",
      keyId,
      serial: 1n,
      principals: ["root"],
      validAfter: seconds(now - minute),
      validBefore: seconds(now + hour),
      extensions: new Map(extensions),
    },
    by.signer(),
  );
}
const enter = async (cert: Promise<PublicKey> | PublicKey, seen = view(), login = "root") =>
  personOf({ user: login, key: await cert }, seen, { now });

suite("who a certificate is", () => {
  test("name, cluster, end and what the roles decide", async () => {
    const person = await enter(certificate());
    assert.equal(person.user, "joe");
    assert.equal(person.cluster, "main");
    assert.equal(person.expires, now + hour);
    assert.equal(person.access.login("root", {}).allowed, true);
    assert.equal(person.access.login("nobody", {}).allowed, false);
  });

  test("S36: opens nothing more once its authority is gone; all of it ends when that was done at once", async () => {
    const person = await enter(certificate());
    const other = formatPublicKeyLine({ key: foreignCa.publicKey });
    const own = formatPublicKeyLine({ key: ca.publicKey });
    const seen = (lines: string[], rotation?: { grace_period: string }) => {
      const { spec, ...rest } = authority("main", "");
      const standing = rotation && { state: "standby" as const, phase: "standby" as const, ...rotation };
      return {
        authorities: () => [
          { ...rest, spec: { ...spec, checking_keys: lines, ...(standing && { rotation: standing }) } },
        ],
      };
    };
    assert.equal(authorityProblem(person, view()), undefined);
    assert.equal(authorityProblem(person, seen([own, other])), undefined);
    assert.equal(authorityProblem(person, seen([other, own])), undefined);
    const ended = authorityProblem(person, seen([other], { grace_period: "48h0m0s" }));
    assert.match(ended?.reason ?? "", /has been rotated since you logged in; log in again/);
    assert.equal(ended?.everything, false);
    assert.equal(authorityProblem(person, seen([other], { grace_period: "0s" }))?.everything, true);
    // A copy that is too old to be believed tells nothing of who is in.
    assert.equal(authorityProblem(person, { authorities: () => [] }), undefined);
  });

  test("roles and traits are the certificate's, not those the record has now", async () => {
    const cert = certificate({
      extensions: [
        ["teleport-roles", '{"version":"v1","roles":["admin"]}'],
        ["teleport-traits", '{"logins":["deploy"]}'],
      ],
    });
    const person = await enter(cert, view({ roles: [], traits: { logins: ["root"] } }));
    assert.equal(person.access.login("deploy", {}).allowed, true);
    assert.equal(person.access.login("root", {}).allowed, false);
  });

  for (const [why, attempt, sentence] of [
    ["a plain key", () => enter(key.publicKey), /not a certificate/],
    ["S26: a foreign authority", () => enter(certificate({ by: foreignCa })), /not trusted/],
    [
      "S27: another login than it is for",
      () => enter(certificate(), view(), "postgres"),
      /is not for "postgres": no role of the user allows the login postgres$/,
    ],
    [
      "an authority of another cluster",
      () => enter(certificate(), view({}, { cluster: "east" })),
      /cluster east/,
    ],
    ["a user who does not exist any more", () => enter(certificate({ keyId: "ann" })), /ann does not exist/],
    [
      "a user an administrator locked",
      () => enter(certificate(), view({ status: { is_locked: true } })),
      /locked/,
    ],
    [
      "one locked for good in the guide's words",
      () => enter(certificate(), view({ status: { is_locked: true, lock_expires: neverTime } })),
      /locked/,
    ],
    [
      "a user whose time is over",
      () => enter(certificate(), view({ expires: new Date(now).toISOString() })),
      /expired/,
    ],
    [
      "a role that is gone, for it may be the one that denies",
      () => enter(certificate(), view({}, { roles: [] })),
      /role admin/,
    ],
    [
      "roles that are no list",
      () => enter(certificate({ extensions: [["teleport-roles", '{"roles":"admin"}']] })),
      /roles cannot be read/,
    ],
    [
      "traits that are no JSON",
      () => enter(certificate({ extensions: [["teleport-traits", "{"]] })),
      /teleport-traits cannot be read/,
    ],
  ] as const) {
    test(`${why} is refused`, () =>
      assert.rejects(attempt(), (err) => Fault.is(err, "access_denied") && sentence.test(err.message)));
  }

  test("AUTH-44: a lock by failed logins stops logins, not certificates", async () => {
    const locked = view({ status: { is_locked: true, lock_expires: new Date(now + hour).toISOString() } });
    const person = await enter(certificate(), locked);
    assert.equal(person.user, "joe");
    assert.equal(userProblem(person, locked, now), undefined);
  });

  test("AUTH-44: a certificate of who had the name before is refused, and whoever is in with it", async () => {
    const person = await enter(certificate());
    const made = (ago: number, more: object = {}) =>
      view({ created_by: { time: new Date(now - ago).toISOString(), user: { name: "admin" }, ...more } });
    const refused = (err: unknown): boolean =>
      Fault.is(err, "access_denied") && /earlier account of the name joe/.test(err.message);
    // It counts from a minute before it was made.
    const later = made(-3000);
    await assert.rejects(enter(certificate(), later), refused);
    assert.match(userProblem(person, later, now) ?? "", /earlier account/);
    for (const same of [made(hour), made(0), made(-2000)]) {
      assert.equal((await enter(certificate(), same)).user, "joe");
      assert.equal(userProblem(person, same, now), undefined);
    }
    // A connector makes the account anew at each login.
    await enter(certificate(), made(-hour, { connector: { type: "github", id: "github", identity: "joe" } }));
  });

  test("a deny rule holds whatever another role allows", async () => {
    const deny = Role.parse({
      kind: "role",
      version: "v3",
      metadata: { name: "no-root" },
      spec: { deny: { logins: ["root"] } },
    });
    const person = await enter(
      certificate(),
      view({ roles: ["admin", "no-root"] }, { roles: [adminRole, deny] }),
    );
    assert.equal(person.access.login("root", {}).allowed, false);
  });
});
