import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import type { OidcConnector } from "#model";
import { startHostileOidc } from "../../../test/support/hostile-oidc.ts";
import type { Outgoing } from "./http.ts";
import { Oidc } from "./oidc.ts";

const google = "https://accounts.google.com";
const scope = "https://www.googleapis.com/auth/admin.directory.group.readonly";

/** A login at Google, with `directory` in place of the directory of groups. */
async function logIn(directory: (url: URL, token: string) => Response, scopes = [scope]) {
  const clock = new TestClock();
  await using provider = await startHostileOidc(clock);
  const asGoogle = (text: string): string => text.replaceAll(provider.issuer, google);
  provider.metadata = (right) => JSON.parse(asGoogle(JSON.stringify(right))) as Record<string, unknown>;
  provider.claims = (right) => ({ ...right, iss: google });
  const ask: Outgoing = async (url, options = {}) =>
    url.startsWith(google)
      ? fetch(url.replace(google, provider.issuer), options)
      : directory(new URL(url), options.headers?.authorization ?? "");
  const connector: OidcConnector = {
    kind: "oidc",
    version: "v2",
    metadata: { name: "google" },
    spec: {
      issuer_url: google,
      ...provider.client,
      redirect_url: "https://proxy.example.com/v1/webapi/oidc/callback",
      scope: scopes,
      claims_to_roles: [{ claim: "groups", value: "*@example.com", roles: ["$1"] }],
    },
  };
  const oidc = new Oidc(clock, ask);
  const secrets = { state: "a state", verifier: "v".repeat(43), nonce: "a nonce" };
  const url = await oidc.authorizeUrl(connector, secrets);
  const back = await fetch(url.replace(google, provider.issuer), { redirect: "manual" });
  return await oidc.person(connector, secrets, new URL(back.headers.get("location") ?? "").searchParams);
}

suite("AUTH-72: groups of Google", () => {
  test("are asked of the directory, page by page, with the person's own token", async () => {
    const { name, roles, traits } = await logIn((url, token) => {
      assert.equal(url.origin + url.pathname, "https://admin.googleapis.com/admin/directory/v1/groups");
      assert.equal(url.searchParams.get("userKey"), "alice@example.com");
      assert.equal(token, "Bearer an access token");
      return url.searchParams.has("pageToken")
        ? Response.json({ groups: [{ email: "ops@example.com" }] })
        : Response.json({ groups: [{ email: "dev@example.com", name: "Dev" }], nextPageToken: "2" });
    });
    assert.equal(name, "alice@example.com");
    assert.deepEqual(roles, ["dev", "ops"]);
    assert.deepEqual(traits.groups, ["dev@example.com", "ops@example.com"]);
  });

  test("are not asked without the scope", async () => {
    const { traits } = await logIn(() => assert.fail("it was asked"), []).catch((err: unknown) => {
      // No groups of the directory, so no role: userinfo's "dev" is no address.
      assert.ok(Fault.is(err, "access_denied"));
      return { traits: {} };
    });
    assert.deepEqual(traits, {});
  });

  test("that Google does not tell let nobody in", async () => {
    const refused = () => Response.json({ error: { code: 403 } }, { status: 403 });
    await assert.rejects(logIn(refused), (err) => Fault.is(err, "unreachable"));
  });
});
