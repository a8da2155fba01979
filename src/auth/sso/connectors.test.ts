import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { Connector } from "#model";
import { cluster } from "../testing/cluster.ts";

const github = (name: string, spec: object = {}): Connector =>
  Connector.parse({
    kind: "github",
    version: "v3",
    metadata: { name },
    spec: {
      client_id: "id",
      client_secret: "planted",
      redirect_url: "https://proxy.example.com/v1/webapi/github/callback",
      teams_to_logins: [{ organization: "octo", team: "admins", logins: ["root"] }],
      ...spec,
    },
  });

suite("connectors", () => {
  test("are made once, changed with force, kept apart by kind, and removed", async () => {
    await using c = await cluster();
    const saml = Connector.parse({
      kind: "saml",
      version: "v2",
      metadata: { name: "corp" },
      spec: { acs: "https://proxy.example.com/v1/webapi/saml/acs" },
    });
    assert.deepEqual(await c.admin["connectors.put"]({ connector: github("corp") }), { created: true });
    await assert.rejects(c.admin["connectors.put"]({ connector: github("corp") }), (err) =>
      Fault.is(err, "already_exists"),
    );
    await c.admin["connectors.put"]({ connector: saml });
    const changed = github("corp", { display: "Octo" });
    assert.deepEqual(await c.admin["connectors.put"]({ connector: changed, force: true }), {
      created: false,
    });
    await c.admin["connectors.delete"]({ kind: "saml", name: "corp" });
    assert.deepEqual(await c.admin["connectors.list"]({ secrets: true }), [changed]);
    assert.deepEqual(
      c.events.map(({ code }) => code).filter((code) => code.startsWith("T414")),
      ["T4140I", "T4140I", "T4141I", "T4142I"],
    );
  });

  test("S72: a client's secret is in no event, and in no answer but to who may read it and asks", async () => {
    await using c = await cluster();
    await c.admin["connectors.put"]({ connector: github("corp") });
    for (const who of [c.admin, c.proxy]) {
      const seen = JSON.stringify(await who["connectors.list"]({}));
      assert.ok(seen.includes("octo") && !seen.includes("planted"));
    }
    await assert.rejects(c.proxy["connectors.list"]({ secrets: true }), (err) =>
      Fault.is(err, "access_denied"),
    );
    assert.ok(!JSON.stringify(c.events).includes("planted"));
  });

  test("RES-08: what was printed without its secret comes back with the one that is stored", async () => {
    await using c = await cluster();
    await c.admin["connectors.put"]({ connector: github("corp") });
    const [printed] = await c.admin["connectors.list"]({});
    assert.ok(printed);
    await c.admin["connectors.put"]({ connector: printed, force: true });
    assert.deepEqual(await c.admin["connectors.list"]({ secrets: true }), [github("corp")]);
    await assert.rejects(
      c.admin["connectors.put"]({ connector: github("new", { client_secret: undefined }) }),
      /has no spec.client_secret/,
    );
  });

  for (const [why, name, issuer_url, value] of [
    ["the name of the local accounts", "local", "https://idp.example.com", "dev"],
    ["an issuer that is no web address", "corp", "javascript:alert(1)", "dev"],
    ["a pattern that cannot be read", "corp", "https://idp.example.com", "^(dev$"],
  ] as const) {
    test(`${why} is refused`, async () => {
      await using c = await cluster();
      const connector = Connector.parse({
        kind: "oidc",
        version: "v2",
        metadata: { name },
        spec: {
          issuer_url,
          client_id: "id",
          client_secret: "secret",
          redirect_url: "https://proxy.example.com/v1/webapi/oidc/callback",
          claims_to_roles: [{ claim: "groups", value, roles: ["admin"] }],
        },
      });
      await assert.rejects(c.admin["connectors.put"]({ connector }), (err) => Fault.is(err, "bad_parameter"));
    });
  }
});
