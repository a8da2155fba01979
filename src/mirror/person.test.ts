import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import {
  adminRole,
  type CertAuthority,
  ClusterConfig,
  neverTime,
  Role,
  TrustedCluster,
  type TrustedLink,
  User,
} from "#model";
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
function view(
  spec: Record<string, unknown> = {},
  { roles = [adminRole], trusted = [] }: { roles?: Role[]; trusted?: TrustedLink[] } = {},
) {
  const joe = User.parse({
    kind: "user",
    version: "v2",
    metadata: { name: "joe" },
    spec: { roles: ["admin"], traits: { logins: ["root"] }, ...spec },
  });
  return {
    config: () => ClusterConfig.parse({ cluster_id: "1", cluster_name: "main" }),
    authorities: () => [authority("main", formatPublicKeyLine({ key: ca.publicKey }))],
    trustedClusters: () => trusted,
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
    const trustedClusters = () => [];
    const seen = (lines: string[], rotation?: { grace_period: string }) => {
      const { spec, ...rest } = authority("main", "");
      const standing = rotation && { state: "standby" as const, phase: "standby" as const, ...rotation };
      return {
        trustedClusters,
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
    assert.equal(authorityProblem(person, { authorities: () => [], trustedClusters }), undefined);
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

suite("S32: somebody of a cluster that is trusted", () => {
  const link = (spec: object = {}): TrustedLink => ({
    resource: TrustedCluster.parse({
      kind: "trusted_cluster",
      version: "v2",
      metadata: { name: "east" },
      spec: { web_proxy_addr: "east:3080", role_map: [{ remote: "dev-*", local: ["ops"] }], ...spec },
    }),
    authorities: [authority("east", formatPublicKeyLine({ key: foreignCa.publicKey }))],
  });
  const ops = Role.parse({
    kind: "role",
    version: "v3",
    metadata: { name: "ops" },
    spec: {
      allow: {
        logins: ["{{internal.logins}}", "{{external.more}}"],
        node_labels: { "*": "*" },
        rules: [
          { resources: ["event"], verbs: ["list"], where: 'equals(user.metadata.name, "joe")' },
          { resources: ["event"], verbs: ["read"], where: 'equals(user.metadata.name, "joe@east")' },
        ],
      },
    },
  });
  const seen = (spec?: object) => view({}, { roles: [adminRole, ops], trusted: [link(spec)] });
  /** As the other cluster makes them: what it says of its people is its own affair. */
  const guest = (roles: string[], keyId = "joe") =>
    certificate({
      by: foreignCa,
      keyId,
      extensions: [
        ["teleport-roles", JSON.stringify({ version: "v1", roles })],
        ["teleport-traits", '{"logins":["admin"],"more":["postgres"]}'],
      ],
    });

  test("has the mapped roles and no others, and the logins of the certificate", async () => {
    const person = await enter(guest(["dev-1", "admin"]), seen());
    assert.deepEqual([person.user, person.cluster], ["joe", "east"]);
    assert.equal(person.access.login("root", {}).allowed, true);
    for (const login of ["admin", "postgres"])
      assert.equal(person.access.login(login, {}).allowed, false, login);
  });
  test("is nobody of this cluster: a namesake's record, locks and conditions are the namesake's", async () => {
    for (const [keyId, spec] of [
      ["ann", {}],
      ["joe", { status: { is_locked: true } }],
    ] as const) {
      const there = view(spec, { roles: [adminRole, ops], trusted: [link()] });
      const person = await enter(guest(["dev-1"], keyId), there);
      assert.equal(userProblem(person, there, now), undefined);
    }
    const { access } = await enter(guest(["dev-1"]), seen());
    assert.equal(access.can("list", "event").allowed, false);
    assert.equal(access.can("read", "event").allowed, true);
  });
  test("a namesake with the same roles by the cluster's own authority is somebody else", async () => {
    await assert.rejects(
      enter(certificate({ extensions: rolesOf("dev-1") }), seen()),
      /dev-1 of the certificate/,
    );
  });

  for (const [why, roles, spec, sentence] of [
    ["no role is mapped", ["admin"], {}, /no role of east that you have is mapped/],
    ["there are no roles", [], {}, /no role of east/],
    [
      "the role here does not exist",
      ["dev-1"],
      { role_map: [{ remote: "*", local: ["gone"] }] },
      /role gone/,
    ],
    ["the link is not enabled", ["dev-1"], { enabled: false }, /not trusted/],
    ["without a mapping another role than admin", ["dev-1"], { role_map: undefined }, /no role of east/],
  ] as const) {
    test(`is not let in where ${why}`, async () => {
      await assert.rejects(
        enter(guest([...roles]), seen(spec)),
        (err) => Fault.is(err, "access_denied") && sentence.test(err.message),
      );
    });
  }
  test("without a mapping admin there is admin here", async () => {
    const person = await enter(guest(["admin"]), seen({ role_map: undefined }));
    assert.equal(person.access.can("create", "role").allowed, true);
  });

  test("TC-13: all of it ends when the cluster is not trusted any more, as when the link is disabled", async () => {
    const person = await enter(guest(["dev-1"]), seen());
    assert.equal(authorityProblem(person, seen()), undefined);
    for (const now of [view(), seen({ enabled: false })]) {
      const ended = authorityProblem(person, now);
      assert.match(ended?.reason ?? "", /the cluster east is not trusted here any more/);
      assert.equal(ended?.everything, true);
    }
  });
});

const rolesOf = (...roles: string[]): [string, string][] => [
  ["teleport-roles", JSON.stringify({ version: "v1", roles })],
];
