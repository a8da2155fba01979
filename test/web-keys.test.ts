import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { KeyCreation, KeyRequest } from "#contract/webauthn";
import { hour } from "#core/clock";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { newSealingKey, unseal } from "#core/seal";
import { AuthPreference } from "#model";
import type { App } from "#net";
import { webApi } from "#webapi";
import { type Cluster, cluster, publicKeys } from "../src/auth/testing/cluster.ts";
import { SoftwareKey } from "../src/auth/testing/software-key.ts";

const origin = "https://proxy.example.com:3080";
const csrf = "ab".repeat(32);

suite("security keys over the web API", () => {
  let c: Cluster;
  let app: App;
  let key: SoftwareKey;
  before(async () => {
    const preference = AuthPreference.parse({ second_factor: "webauthn", u2f: { app_id: origin } });
    c = await cluster({ preference });
    app = await webApi({
      auth: c.proxy,
      proxy: { kube: { enabled: false }, ssh: {} },
      versions: { server_version: "5.0.0", min_client_version: "5.0.0" },
      health: () => undefined,
      knowsCluster: () => false,
      can: () => false,
      pages: "/nowhere",
      clock: c.clock,
      random: systemRandom,
      log: silentLog,
    });
    key = await signUp("joe");
  });
  after(async () => {
    await app.close();
    await c[Symbol.asyncDispose]();
  });

  /** As a page of ours asks, or, without its CSRF token, a program. */
  async function ask(method: "GET" | "POST" | "PUT", url: string, payload?: object, more: Ask = {}) {
    const { page = true, headers, cookies } = more;
    const response = await app.inject({
      method,
      url: `/v1/webapi${url}`,
      headers: { ...headers, ...(page && { "x-csrf-token": csrf }) },
      cookies: { ...cookies, ...(page && { grv_csrf: csrf }) },
      ...(payload && { payload }),
    });
    return { status: response.statusCode, cookies: response.cookies, json: response.json() };
  }
  const ok = async (...asked: Parameters<typeof ask>) => {
    const answer = await ask(...asked);
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    return answer;
  };

  async function signUp(user: string): Promise<SoftwareKey> {
    const made = new SoftwareKey(origin);
    const { token } = await c.admin["signups.create"]({ user, traits: { logins: [user] }, ttl: hour });
    const { json: invite } = await ok("GET", `/users/invites/${token}`);
    assert.deepEqual(invite, { invite_token: token, user, second_factor: "webauthn", qr: "" });
    const { json: asked } = await ok("POST", "/webauthn/signup", { invite_token: token });
    const webauthn = made.create(asked as KeyCreation);
    const { json: session } = await ok("POST", "/users", {
      invite_token: token,
      user,
      pass: "correct horse",
      webauthn: [{ ...webauthn, authenticatorAttachment: "cross-platform" }],
    });
    assert.equal((session as { type: string }).type, "bearer");
    return made;
  }
  const challenge = async (pass = "correct horse"): Promise<KeyRequest> =>
    (await ok("POST", "/webauthn/challenge", { user: "joe", pass })).json as KeyRequest;

  test("the ping tells app_id, and the sign-in is password, then key", async () => {
    const { json: ping } = await ok("GET", "/ping");
    assert.deepEqual((ping as { auth: unknown }).auth, {
      type: "local",
      second_factor: "webauthn",
      u2f: { app_id: origin },
      local: { name: "local" },
    });
    const { cookies, json } = await ok("POST", "/webauthn/sessions", {
      user: "joe",
      webauthn: key.get(await challenge()),
    });
    assert.ok(cookies.some(({ name, httpOnly }) => name === "session" && httpOnly));
    assert.match((json as { token: string }).token, /^[0-9a-f]{32}$/);
  });

  test("AUTH-39: a password alone is no login, and a wrong one gets no challenge", async () => {
    const alone = await ask("POST", "/sessions", {
      user: "joe",
      pass: "correct horse",
      second_factor_token: "1",
    });
    assert.deepEqual([alone.status, alone.json], [403, { message: "missing second factor" }]);
    const wrong = await ask("POST", "/webauthn/challenge", { user: "joe", pass: "wrong" });
    assert.equal(wrong.status, 403);
    assert.deepEqual(wrong.json, { message: "invalid username, password or second factor" });
  });

  test("what only a page asks needs the page's token", async () => {
    for (const path of ["signup", "challenge", "sessions", "password", "console/0/challenge", "console/0"]) {
      const { status, json } = await ask("POST", `/webauthn/${path}`, {}, { page: false });
      assert.equal(status, 403, path);
      assert.match((json as { message: string }).message, /out of date/);
    }
  });

  test("a changed password takes the old one, and a key that was asked for it", async () => {
    const ann = await signUp("ann");
    const begun = await ok("POST", "/webauthn/challenge", { user: "ann", pass: "correct horse" });
    const signed = ann.get(begun.json as KeyRequest);
    const { cookies, json } = await ok("POST", "/webauthn/sessions", { user: "ann", webauthn: signed });
    const session = {
      headers: { authorization: `Bearer ${(json as { token: string }).token}` },
      cookies: { session: cookies.find(({ name }) => name === "session")?.value ?? "" },
    };
    const [old_password, new_password] = ["correct horse", "another one"].map((text) => btoa(text));
    const asked = await ok("POST", "/webauthn/password", { old_password }, session);
    const webauthn = ann.get(asked.json as KeyRequest);
    await ok("PUT", "/users/password", { old_password, new_password, webauthn }, session);
    await ok("POST", "/webauthn/challenge", { user: "ann", pass: "another one" });
  });

  test("AUTH-66: tsh begins, a page ends it, and the browser carries what it cannot read", async () => {
    const { ssh, tls } = await publicKeys();
    const secret = newSealingKey();
    const begin = (redirect_url: string) =>
      ask(
        "POST",
        "/webauthn/console",
        { user: "joe", redirect_url, pub_key: ssh, tls_pub_key: tls, ttl: 3.6e12 },
        { page: false },
      );
    const foreign = await begin(`http://evil.example.com:4242/callback?secret_key=${secret}`);
    assert.equal(foreign.status, 400);
    const begun = await begin(`http://127.0.0.1:4242/callback?secret_key=${secret}`);
    const { id } = begun.json as { id: string };
    assert.deepEqual((await ok("GET", `/webauthn/console/${id}`)).json, { user: "joe" });
    const asked = await ok("POST", `/webauthn/console/${id}/challenge`, { pass: "correct horse" });
    const done = await ok("POST", `/webauthn/console/${id}`, { webauthn: key.get(asked.json as KeyRequest) });
    const to = new URL((done.json as { redirect_url: string }).redirect_url);
    assert.equal(`${to.origin}${to.pathname}`, "http://127.0.0.1:4242/callback");
    assert.deepEqual([...to.searchParams.keys()], ["response"]);
    const response = to.searchParams.get("response") ?? "";
    assert.deepEqual(Object.keys(JSON.parse(response) as object).sort(), ["ciphertext", "nonce"]);
    const certs = unseal(response, secret) as { username: string; cert: string; tls_cert: string };
    assert.equal(certs.username, "joe");
    assert.match(atob(certs.cert), /^ssh-ed25519-cert-v01@openssh\.com /);
    assert.match(atob(certs.tls_cert), /BEGIN CERTIFICATE/);
    const again = await ask("GET", `/webauthn/console/${id}`);
    assert.equal(again.status, 404);
  });
});

interface Ask {
  readonly page?: boolean;
  readonly headers?: Record<string, string>;
  readonly cookies?: Record<string, string>;
}
