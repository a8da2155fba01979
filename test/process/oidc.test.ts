import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour } from "#core/clock";
import { Connector } from "#model";
import { cluster, role } from "../../src/auth/testing/cluster.ts";
import { browse } from "../support/browse.ts";
import { type OidcOptions, type OidcProvider, startOidc } from "../support/oidc.ts";

const callback = "https://proxy.example.com/v1/webapi/oidc/callback";
const csrf_token = "ab".repeat(32);

const connector = (provider: Pick<OidcProvider, "issuer" | "client">, spec: object = {}): Connector =>
  Connector.parse({
    kind: "oidc",
    version: "v2",
    metadata: { name: "corp" },
    spec: {
      issuer_url: provider.issuer,
      ...provider.client,
      redirect_url: callback,
      scope: ["groups"],
      claims_to_roles: [{ claim: "groups", value: "dev", roles: ["dev"] }],
      ...spec,
    },
  });

async function setting(spec: object = {}, options: Partial<OidcOptions> = {}) {
  await using stack = new AsyncDisposableStack();
  const provider = stack.use(await startOidc({ redirectUrl: callback, ...options }));
  const c = stack.use(await cluster({ sso: { clear: [provider.issuer] } }));
  await c.admin["connectors.put"]({ connector: connector(provider, spec) });
  await c.admin["roles.put"]({
    role: role("dev", { allow: { logins: ['{{external["department"]}}', "dev"] } }),
  });
  const logIn = async () => {
    const { redirect_url } = await c.proxy["sso.start"]({
      kind: "oidc",
      flow: { type: "web", redirect_url: "/web", csrf_token },
    });
    const { search } = new URL(await browse(redirect_url, callback));
    return c.proxy["sso.finish"]({ kind: "oidc", query: search.slice(1), csrf_token });
  };
  const refused = async (): Promise<string> => {
    const done = await logIn();
    assert.equal(done.type, "refused", JSON.stringify(done));
    assert.deepEqual(await c.admin["users.list"]({}), []);
    return done.type === "refused" ? done.error : "";
  };
  const open = stack.move();
  return { c, provider, logIn, refused, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

suite("logins by OpenID Connect", () => {
  for (const inIdToken of [true, false]) {
    test(`AUTH-72: claims of ${inIdToken ? "the ID token" : "userinfo"} become roles and traits`, async () => {
      await using s = await setting({}, { inIdToken });
      s.provider.account = { ...s.provider.account, groups: ["dev", "x"], department: "sales" };
      const done = await s.logIn();
      assert.ok(done.type === "web", JSON.stringify(done));
      const { spec } = await s.c.admin["users.get"]({ name: "alice@example.com" });
      assert.deepEqual(spec.roles, ["dev"]);
      assert.deepEqual(spec.traits, {
        sub: ["1234"],
        email: ["alice@example.com"],
        email_verified: ["true"],
        groups: ["dev", "x"],
        department: ["sales"],
      });
      assert.deepEqual(spec.created_by?.connector, {
        type: "oidc",
        id: "corp",
        identity: "alice@example.com",
      });
      const { user, id, bearer } = done.session;
      const { logins } = await s.c.proxy["web_sessions.get"]({ user, id, bearer });
      assert.deepEqual(logins, ["dev", "sales"]);
    });
  }

  for (const [how, claims_to_roles, roles] of [
    ["a text", [{ claim: "groups", value: "dev", roles: ["dev"] }], ["dev"]],
    ["a star", [{ claim: "groups", value: "de*", roles: ["dev"] }], ["dev"]],
    ["any value", [{ claim: "email", value: "*", roles: ["dev"] }], ["dev"]],
    [
      "a regex with a group",
      [{ claim: "groups", value: "^(d.*)$", roles: ["$1", "admin"] }],
      ["dev", "admin"],
    ],
    [
      "several entries",
      [
        { claim: "groups", value: "nobody", roles: ["admin"] },
        { claim: "email", value: "^.*@example\\.com$", roles: ["dev"] },
      ],
      ["dev"],
    ],
  ] as const) {
    test(`AUTH-71: a claim maps by ${how}`, async () => {
      await using s = await setting({ claims_to_roles });
      assert.equal((await s.logIn()).type, "web");
      assert.deepEqual((await s.c.admin["users.get"]({ name: "alice@example.com" })).spec.roles, roles);
    });
  }

  for (const [why, spec, account, said] of [
    [
      "no role",
      { claims_to_roles: [{ claim: "groups", value: "ops", roles: ["admin"] }] },
      {},
      /no claim that/,
    ],
    ["no mapping", { claims_to_roles: [] }, {}, /has empty claims_to_roles mapping/],
    [
      "a part of a value",
      { claims_to_roles: [{ claim: "groups", value: "^de$", roles: ["admin"] }] },
      {},
      /no claim that/,
    ],
    ["no e-mail address", {}, { email: undefined }, /tells no e-mail address/],
    ["S24: an e-mail address that nobody verified", {}, { email_verified: false }, /was verified/],
    ["S24: one of which nobody says", {}, { email_verified: undefined }, /was verified/],
    [
      "more than a certificate carries",
      {},
      {
        groups: Array(3000)
          .fill("")
          .map((_, i) => `dev-${i}`),
      },
      /bytes/,
    ],
    ["another acr", { acr_values: "urn:gold" }, {}, /acr_values "urn:gold"/],
    ["a name with a slash", {}, { email: "a/b@example.com" }, /cannot be the name of a user/],
  ] as const) {
    test(`${why} lets nobody in`, async () => {
      await using s = await setting(spec);
      s.provider.account = { ...s.provider.account, ...account };
      assert.match(await s.refused(), said);
    });
  }

  test("AUTH-72: the acr that was asked for lets in", async () => {
    await using s = await setting({ acr_values: "urn:gold" });
    s.provider.acr = "urn:gold";
    assert.equal((await s.logIn()).type, "web");
  });

  test("S24: who has the address of somebody else now is not somebody else", async () => {
    await using s = await setting();
    await s.logIn();
    s.provider.account = { ...s.provider.account, sub: "9999" };
    const done = await s.logIn();
    assert.match(done.type === "refused" ? done.error : "", /is another person at the identity provider/);
  });

  test("the account goes when the login is over, and comes back with the next", async () => {
    await using s = await setting();
    await s.logIn();
    await s.c.clock.advance(12 * hour);
    assert.deepEqual(await s.c.admin["users.list"]({}), []);
    assert.equal((await s.logIn()).type, "web");
  });

  test("a provider that is not one is told of to the administrator, not to strangers", async () => {
    await using c = await cluster();
    const spec = { issuer: "https://localhost:1", client: { client_id: "id", client_secret: "secret" } };
    await c.admin["connectors.put"]({ connector: connector(spec) });
    const flow = { type: "web", redirect_url: "/web", csrf_token } as const;
    await assert.rejects(c.proxy["sso.start"]({ kind: "oidc", flow }), /"corp" does not answer as it should/);
    assert.match(JSON.stringify(c.log), /localhost:1/);
  });
});
