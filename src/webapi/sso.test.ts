import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import { newSealingKey, unseal } from "#core/seal";
import { Connector } from "#model";
import type { App } from "#net";
import { FakeAuth } from "../../test/web/fake-auth.ts";
import { webApi } from "./index.ts";

const connector = (kind: "github" | "oidc" | "saml", name: string, display?: string): Connector =>
  Connector.parse({
    kind,
    version: kind === "github" ? "v3" : "v2",
    metadata: { name },
    spec: {
      ...(kind === "saml"
        ? { acs: "https://p/v1/webapi/saml/acs" }
        : { client_id: "id", client_secret: "planted", redirect_url: "https://p/v1/webapi/x/callback" }),
      ...(kind === "oidc" && { issuer_url: "https://i.example.com" }),
      ...(display !== undefined && { display }),
    },
  });

let auth: FakeAuth;
let app: App;
let log: ReturnType<typeof memoryLog>;

async function start(): Promise<void> {
  const clock = new TestClock();
  auth = new FakeAuth(clock, "otp");
  auth.connectors = [
    connector("github", "github", "Octo <b>Corp</b>"),
    connector("oidc", "okta"),
    connector("saml", "old"),
  ];
  log = memoryLog();
  app = await webApi({
    ...{ auth, clock, log, pages: "/nowhere", random: systemRandom },
    proxy: { kube: { enabled: false }, ssh: {} },
    versions: { server_version: "5.0.0", min_client_version: "4.9.0" },
    health: () => undefined,
    knowsCluster: () => true,
    can: () => false,
  });
}

const get = (url: string, cookies: Record<string, string> = {}, more: object = {}) =>
  app.inject({ method: "GET", url, cookies, ...more });
const post = (url: string, payload: object, cookies: Record<string, string> = {}, headers: object = {}) =>
  app.inject({ method: "POST", url, payload, cookies, headers: { ...headers } });
type Answer = Awaited<ReturnType<typeof get>>;
const cookieOf = (answer: Answer, name: string) => answer.cookies.find((cookie) => cookie.name === name);
const to = (answer: Answer): string => {
  assert.equal(answer.statusCode, 302, answer.body);
  return String(answer.headers.location);
};
const ping = async (name?: string) => {
  const answer = await get(`/v1/webapi/ping${name === undefined ? "" : `/${name}`}`);
  return { status: answer.statusCode, auth: answer.json().auth, message: answer.json().message };
};

suite("how people log in, as ping says (WEB-10, WEB-11, CFG-45, CFG-47)", () => {
  beforeEach(start);

  for (const [type, more, expected] of [
    ["local", {}, { type: "local", local: { name: "local" } }],
    ["github", {}, { type: "github", github: { name: "github", display: "Octo <b>Corp</b>" } }],
    ["oidc", {}, { type: "oidc", oidc: { name: "okta", display: "okta" } }],
    ["github", { connector_name: "corp" }, { type: "github" }],
  ] as const) {
    test(`type ${type} ${JSON.stringify(more)}`, async () => {
      auth.preference = { type, ...more };
      assert.deepEqual((await ping()).auth, { second_factor: "otp", ...expected });
    });
  }

  test("connector_name chooses among several", async () => {
    auth.connectors.push(connector("github", "second"));
    auth.preference = { type: "github", connector_name: "second" };
    assert.deepEqual((await ping()).auth.github, { name: "second", display: "second" });
  });

  test("every connector and the local accounts can be asked for by name", async () => {
    auth.preference = { type: "github" };
    assert.equal((await ping("local")).auth.type, "local");
    assert.deepEqual((await ping("okta")).auth.oidc, { name: "okta", display: "okta" });
    assert.equal((await ping("github")).auth.type, "github");
    assert.deepEqual(await ping("nobody"), {
      status: 400,
      auth: undefined,
      message: 'invalid connector name "nobody"',
    });
    assert.match((await ping("old")).message, /nobody logs in by the SAML connector "old"/);
  });

  test("CFG-49: local accounts that let nobody in are not offered by name", async () => {
    auth.preference = { type: "github", local_auth: false };
    assert.deepEqual([(await ping("local")).status, (await ping()).status], [400, 200]);
    assert.match((await get("/web/config.js")).body, /"local_auth":false/);
  });

  test("of one name the default kind's is meant", async () => {
    auth.connectors.push(connector("oidc", "github"));
    assert.equal((await ping("github")).auth.type, "github");
    auth.preference = { type: "oidc" };
    assert.equal((await ping("github")).auth.type, "oidc");
  });

  test("ACC-40: without a connector ping says the type, and beginning a login says what is missing", async () => {
    auth.connectors = [];
    auth.preference = { type: "github" };
    assert.deepEqual(await ping(), {
      status: 200,
      auth: { type: "github", second_factor: "otp" },
      message: undefined,
    });
    const page = new URL(to(await get("/webapi/github/login/web")), "https://p");
    assert.match(page.searchParams.get("details") ?? "", /no github connector/);
  });

  test("S51: the login page's data is no script, whatever a display name holds; no secret is in it", async () => {
    const { body } = await get("/web/config.js");
    assert.ok(body.includes("Octo \\u003cb\\u003eCorp") && !body.includes("<") && !body.includes("planted"));
    assert.match(body, /"local_auth":true/);
    assert.ok(!body.includes('"old"'));
  });
});

suite("logging in by a provider with a browser", () => {
  beforeEach(start);
  const token = "ab".repeat(32);

  for (const prefix of ["", "/v1"]) {
    test(`${prefix}/webapi: out to the provider, back to the page, with a session`, async () => {
      const out = await get(
        `${prefix}/webapi/github/login/web?connector_id=github&redirect_url=/web/nodes%3Fq=1`,
      );
      assert.equal(to(out), "https://provider.example.com/authorize?state=0");
      const csrf = cookieOf(out, "grv_csrf");
      assert.ok(csrf?.sameSite === "Lax" && csrf.httpOnly && csrf.secure);
      const back = await get(`${prefix}/webapi/github/callback?code=c&state=0`, { grv_csrf: csrf.value });
      assert.equal(to(back), "/web/sso?redirect_uri=%2Fweb%2Fnodes%3Fq%3D1");
      const [session, claim] = ["session", "sso_bearer"].map((name) => cookieOf(back, name));
      for (const cookie of [session, claim])
        assert.ok(cookie?.httpOnly && cookie.secure && cookie.sameSite === "Strict");
      assert.equal(claim?.path, "/webapi/sessions/sso");
      const held = { session: session?.value ?? "", sso_bearer: claim?.value ?? "", grv_csrf: token };
      const taken = await post("/webapi/sessions/sso", {}, held, { "x-csrf-token": token });
      assert.equal(taken.statusCode, 200, taken.body);
      assert.equal(cookieOf(taken, "sso_bearer")?.value, "");
      const { token: bearer } = taken.json();
      const status = await get("/webapi/user/status", held, {
        headers: { authorization: `Bearer ${bearer}` },
      });
      assert.equal(status.statusCode, 200);
    });
  }

  test("CSRF: another site can neither take up a session nor end a login in this browser", async () => {
    const out = await get("/webapi/github/login/web");
    const back = await get("/webapi/github/callback?state=0", {
      grv_csrf: cookieOf(out, "grv_csrf")?.value ?? "",
    });
    const held = Object.fromEntries(back.cookies.map(({ name, value }) => [name, value]));
    assert.equal((await post("/webapi/sessions/sso", {}, held)).statusCode, 403);
    await get("/webapi/github/login/web");
    assert.match(
      to(await get("/webapi/github/callback?state=1")),
      /login_failed\?details=begun%20in%20another/,
    );
    assert.match(to(await get("/webapi/github/callback?state=1", { grv_csrf: token })), /login_failed/);
  });

  for (const bad of [
    "//evil.example.com",
    "/\\evil.example.com",
    "https://evil.example.com/web",
    "javascript:1",
    "/web/../x",
  ])
    test(`S67: ${bad} is nowhere to go back to`, async () => {
      to(await get(`/webapi/oidc/login/web?redirect_url=${encodeURIComponent(bad)}`));
      assert.equal(auth.begun[0]?.flow.redirect_url, "/web");
    });

  test("a refusal is told on a page; what nobody began too", async () => {
    auth.refusal = 'user "x" <b>no</b>';
    const out = await get("/webapi/oidc/login/web");
    const csrf = { grv_csrf: cookieOf(out, "grv_csrf")?.value ?? "" };
    const page = to(await get("/webapi/oidc/callback?state=0", csrf));
    assert.equal(page, `/web/msg/error/login_failed?details=${encodeURIComponent(auth.refusal)}`);
    assert.match(
      to(await get("/webapi/oidc/callback?state=9")),
      /^\/web\/msg\/error\/login_failed\?details=this/,
    );
    assert.match(to(await get("/webapi/github/callback?state=0", csrf)), /login_failed/);
  });

  test("S47: who the client says it is does not count", async () => {
    const out = await get("/webapi/github/login/web");
    const headers = { "x-forwarded-for": "1.2.3.4", "x-teleport-user": "root", forwarded: "for=1.2.3.4" };
    const cookies = { grv_csrf: cookieOf(out, "grv_csrf")?.value ?? "" };
    to(await get("/webapi/github/callback?state=0", cookies, { headers, remoteAddress: "192.0.2.1" }));
    assert.match(auth.logins[0]?.client_addr ?? "", /^192\.0\.2\.1/);
  });

  test("one address cannot try without end", async () => {
    let last = "";
    for (let i = 0; i < 70; i++) last = to(await get("/webapi/github/callback?state=9"));
    assert.match(last, /too%20many|slow%20down|again/i);
    assert.doesNotMatch(last, /never%20begun/);
  });

  test("S72: no address line, which may hold a code, is in the log", async () => {
    auth.down = new Error("broken");
    to(await get("/webapi/github/callback?state=0&code=planted"));
    assert.ok(!JSON.stringify(log).includes("planted"));
    assert.match(JSON.stringify(log), /broken/);
  });
});

suite("logging in by a provider with tsh", () => {
  beforeEach(start);
  const key = newSealingKey();
  const redirect_url = `http://127.0.0.1:4242/callback?secret_key=${key}`;
  const body = { redirect_url, pub_key: "AAAA", tls_pub_key: "BBBB", ttl: 3600e9, connector_id: "github" };
  const begin = (more: object = {}) => post("/v1/webapi/github/login/console", { ...body, ...more });

  test("AUTH-66: the certificates go to the port that tsh waits on, sealed with its key", async () => {
    const begun = await begin();
    assert.deepEqual(begun.json(), { redirect_url: "https://provider.example.com/authorize?state=0" });
    const { flow } = auth.begun[0] ?? {};
    assert.ok(flow?.type === "console");
    assert.deepEqual([flow.ttl, flow.pub_key, flow.tls_pub_key], [3_600_000, "AAAA", "BBBB"]);
    const url = new URL(to(await get("/v1/webapi/github/callback?state=0")));
    assert.equal(url.origin + url.pathname, "http://127.0.0.1:4242/callback");
    assert.equal(url.searchParams.get("secret_key"), null);
    assert.deepEqual(unseal(url.searchParams.get("response") ?? "", key), {
      username: "octocat",
      cert: Buffer.from("ssh-ed25519-cert-v01@openssh.com AAAA").toString("base64"),
      host_signers: [],
    });
  });

  test("a refusal gets there too, sealed", async () => {
    await begin();
    auth.refusal = "no team";
    const url = new URL(to(await get("/v1/webapi/github/callback?state=0")));
    assert.deepEqual(unseal(url.searchParams.get("response") ?? "", key), { error: "no team" });
  });

  for (const bad of [
    `http://evil.example.com:80/callback?secret_key=${key}`,
    `https://127.0.0.1.evil.example.com/callback?secret_key=${key}`,
    `javascript:alert(1)//127.0.0.1:4242/?secret_key=${key}`,
    "http://127.0.0.1:4242/callback",
  ])
    test(`S67: nothing is begun for ${bad.slice(0, 40)}`, async () => {
      assert.equal((await begin({ redirect_url: bad })).statusCode, 400);
      assert.deepEqual(auth.begun, []);
    });

  test("a connector that is not there is named", async () => {
    const answer = await begin({ connector_id: "corp" });
    assert.deepEqual(
      [answer.statusCode, answer.json()],
      [404, { message: "this cluster has no github connector" }],
    );
  });

  test("WEB-31: SAML has no doors", async () => {
    for (const path of ["/webapi/saml/sso", "/webapi/saml/acs"])
      assert.equal((await get(path)).statusCode, 404);
    assert.equal((await post("/webapi/saml/login/console", body)).statusCode, 404);
  });
});
