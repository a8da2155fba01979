import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { minute, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import type { App } from "#net";
import { FakeAuth } from "../../test/web/fake-auth.ts";
import { totp } from "../../test/web/totp.ts";
import { webApi } from "./index.ts";

let pages: string;
before(async () => {
  pages = await mkdtemp(join(tmpdir(), "pages-"));
  await mkdir(join(pages, "app"));
  await writeFile(join(pages, "index.html"), '<meta name="grv_csrf_token" content="%CSRF%">');
  await writeFile(join(pages, "app", "index-1a2b.js"), "1");
  await writeFile(join(pages, "app", ".secret"), "1");
});
after(() => rm(pages, { recursive: true }));

let clock: TestClock;
let auth: FakeAuth;
let app: App;
let log: ReturnType<typeof memoryLog>;
let trouble: string | undefined;
let seed: string;

async function start(secondFactor: "off" | "otp" = "otp", folder = pages): Promise<void> {
  clock = new TestClock();
  auth = new FakeAuth(clock, secondFactor);
  ({ seed } = auth.add("alice", "correct horse"));
  auth.add("bob", "battery staple");
  log = memoryLog();
  trouble = undefined;
  app = await webApi({
    auth,
    clock,
    log,
    pages: folder,
    random: systemRandom,
    proxy: {
      kube: { enabled: false },
      ssh: { listen_addr: "0.0.0.0:3023", public_addr: "proxy.example.com:3080" },
    },
    versions: { server_version: "5.0.0", min_client_version: "4.9.0" },
    health: () => trouble,
    knowsCluster: (name) => ["main", "east"].includes(name),
    can: (user, verb, kind) => user.spec.roles.includes("dba") && verb === "list" && kind === "session",
  });
}

type Method = "GET" | "POST" | "PUT" | "DELETE" | "HEAD";
interface Ask {
  headers?: Record<string, string>;
  cookies?: Record<string, string>;
  body?: unknown;
  from?: string;
}
const ask = async (method: Method, url: string, { headers, cookies, body, from }: Ask = {}) => {
  const response = await app.inject({
    method,
    url,
    ...(headers && { headers }),
    ...(cookies && { cookies }),
    ...(body !== undefined && { payload: body as object }),
    ...(from !== undefined && { remoteAddress: from }),
  });
  return {
    status: response.statusCode,
    headers: response.headers,
    cookies: response.cookies,
    text: response.body,
  };
};
const json = (answer: { text: string }): unknown => JSON.parse(answer.text);

const token = "ab".repeat(32);
const csrf = { headers: { "x-csrf-token": token }, cookies: { grv_csrf: token } };
const code = (): string => totp(seed, clock.now());
const login = (body: object = {}, more: Ask = {}) =>
  ask("POST", "/webapi/sessions", {
    ...csrf,
    body: { user: "alice", pass: "correct horse", second_factor_token: code(), ...body },
    ...more,
  });
/** Both halves of a session, as later requests carry them. */
async function signedIn(
  body: object = {},
): Promise<{ headers: Record<string, string>; cookies: Record<string, string> }> {
  const answer = await login(body);
  assert.equal(answer.status, 200, answer.text);
  const { token: bearer } = json(answer) as { token: string };
  const cookie = answer.cookies.find(({ name }) => name === "session");
  return { headers: { authorization: `Bearer ${bearer}` }, cookies: { session: cookie?.value ?? "" } };
}

suite("ping and find", () => {
  beforeEach(() => start());
  const settings = {
    auth: { type: "local", second_factor: "otp", local: { name: "local" } },
    cluster_name: "main",
    proxy: {
      kube: { enabled: false },
      ssh: { listen_addr: "0.0.0.0:3023", public_addr: "proxy.example.com:3080" },
    },
    server_version: "5.0.0",
    min_client_version: "4.9.0",
  };
  for (const path of ["/webapi/ping", "/v1/webapi/ping", "/v1/webapi/ping/local"]) {
    test(`GET ${path} says how to log in`, async () => {
      const answer = await ask("GET", path);
      assert.equal(answer.status, 200);
      assert.deepEqual(json(answer), settings);
    });
  }

  test("an unknown connector is named", async () => {
    const answer = await ask("GET", "/webapi/ping/okta");
    assert.equal(answer.status, 400);
    assert.deepEqual(json(answer), { message: 'invalid connector name "okta"' });
  });

  test("a draining proxy answers 503 with the reason", async () => {
    trouble = "this proxy is shutting down";
    const answer = await ask("GET", "/webapi/ping");
    assert.equal(answer.status, 503);
    assert.deepEqual(json(answer), { message: "this proxy is shutting down" });
  });

  test("a proxy whose auth refuses connections answers 503", async () => {
    auth.down = new Fault("unreachable", "no auth server can be reached");
    const answer = await ask("GET", "/webapi/ping");
    assert.equal(answer.status, 503);
    assert.deepEqual(json(answer), { message: "no auth server can be reached" });
  });

  test("a proxy whose auth says nothing answers 503 after five seconds", async () => {
    auth["cluster.preference"] = () => new Promise(() => {});
    const pending = ask("GET", "/webapi/ping");
    while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(5000);
    const answer = await pending;
    assert.equal(answer.status, 503);
    assert.match(
      JSON.stringify(json(answer)),
      /the cluster's auth server cannot be reached, so nobody can log in/,
    );
  });

  test("pings at the same time are one question to auth", async () => {
    let calls = 0;
    const real = auth["cluster.config"];
    auth["cluster.config"] = () => {
      calls++;
      return real();
    };
    await Promise.all([ask("GET", "/webapi/ping"), ask("GET", "/webapi/ping")]);
    assert.equal(calls, 1);
    await ask("GET", "/webapi/ping");
    assert.equal(calls, 2);
  });

  test("find is ping without auth", async () => {
    const { auth: _, cluster_name: __, ...found } = settings;
    assert.deepEqual(json(await ask("GET", "/v1/webapi/find")), found);
  });

  for (const [name, known] of [
    ["main", true],
    ["east", true],
    ["west", false],
    ["__proto__", false],
  ] as const) {
    test(`find?cluster=${name} says ${known} and nothing else`, async () => {
      assert.deepEqual(json(await ask("GET", `/webapi/find?cluster=${name}`)), { known });
    });
  }

  test("find?cluster names one cluster", async () => {
    assert.equal((await ask("GET", "/webapi/find?cluster=a&cluster=b")).status, 400);
  });

  test("an address that asks too often waits; others do not", async () => {
    for (let i = 0; i < 60; i++)
      assert.equal((await ask("GET", "/webapi/find", { from: "192.0.2.1" })).status, 200);
    const refused = await ask("GET", "/webapi/find", { from: "192.0.2.1" });
    assert.equal(refused.status, 429);
    assert.equal(refused.headers["retry-after"], "1");
    assert.equal((await ask("GET", "/webapi/find", { from: "192.0.2.2" })).status, 200);
    await clock.advance(1000);
    assert.equal((await ask("GET", "/webapi/find", { from: "192.0.2.1" })).status, 200);
  });
});

suite("web sessions", () => {
  beforeEach(() => start());
  test("a login answers with the bearer token and sets the cookie", async () => {
    const answer = await login();
    assert.equal(answer.status, 200);
    const { type, token, expires_in } = json(answer) as Record<string, unknown>;
    assert.equal(type, "bearer");
    assert.match(String(token), /^[0-9a-f]{32}$/);
    assert.equal(expires_in, 600);
    const [cookie] = answer.cookies;
    assert.deepEqual(
      { ...cookie, value: "" },
      { name: "session", value: "", path: "/", httpOnly: true, secure: true, sameSite: "Strict" },
    );
    const held = JSON.parse(Buffer.from(cookie?.value ?? "", "hex").toString()) as Record<string, unknown>;
    assert.deepEqual(Object.keys(held), ["user", "sid"]);
    assert.equal(held.user, "alice");
  });

  test("a wrong password is 403 with auth's vague sentence, and no cookie", async () => {
    const answer = await login({ pass: "wrong" });
    assert.equal(answer.status, 403);
    assert.deepEqual(json(answer), { message: "invalid username, password or second factor" });
    assert.deepEqual(answer.cookies, []);
  });

  test("auth hears the address of the socket", async () => {
    await login({}, { from: "192.0.2.7" });
    assert.match(auth.logins[0]?.client_addr ?? "", /^192\.0\.2\.7:\d+$/);
  });

  test("unknown fields are ignored, missing ones named", async () => {
    assert.equal((await login({ remember: true })).status, 200);
    const answer = await login({ user: undefined });
    assert.equal(answer.status, 400);
    assert.match((json(answer) as { message: string }).message, /^user: /);
  });

  for (const [what, more] of [
    ["no token", {}],
    ["a cookie but no header", { cookies: csrf.cookies }],
    ["a header but no cookie", { headers: csrf.headers }],
    ["a header of another browser", { ...csrf, headers: { "x-csrf-token": "cd".repeat(32) } }],
    ["two empty tokens", { headers: { "x-csrf-token": "" }, cookies: { grv_csrf: "" } }],
  ] as [string, Ask][]) {
    test(`a login with ${what} is refused and never reaches auth`, async () => {
      const answer = await login({}, { headers: {}, cookies: {}, ...more });
      assert.equal(answer.status, 403);
      assert.deepEqual(auth.logins, []);
    });
  }

  for (const [what, headers] of [
    ["another origin", { origin: "https://evil.example" }],
    ["an opaque origin", { origin: "null" }],
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["a sibling host", { "sec-fetch-site": "same-site" }],
  ] as [string, Record<string, string>][]) {
    test(`S42: a request that ${what} caused is refused`, async () => {
      const answer = await login({}, { ...csrf, headers: { ...csrf.headers, ...headers } });
      assert.equal(answer.status, 403);
      assert.deepEqual(auth.logins, []);
    });
  }

  test("our own pages may log in", async () => {
    const headers = {
      ...csrf.headers,
      host: "Proxy:3080",
      origin: "https://proxy:3080",
      "sec-fetch-site": "same-origin",
    };
    assert.equal((await login({}, { ...csrf, headers })).status, 200);
  });

  test("a form of another site cannot be a login: the body must be JSON", async () => {
    const answer = await app.inject({
      method: "POST",
      url: "/webapi/sessions",
      headers: { ...csrf.headers, "content-type": "text/plain" },
      cookies: csrf.cookies,
      payload: JSON.stringify({ user: "alice", pass: "correct horse", second_factor_token: code() }),
    });
    assert.equal(answer.statusCode, 415);
  });

  test("both halves open the door", async () => {
    const me = await signedIn();
    assert.deepEqual(json(await ask("GET", "/v1/webapi/user/status", me)), { message: "ok" });
  });

  test("S42: the cookie of one user with the bearer of another is refused", async () => {
    const alice = await signedIn();
    await start("off");
    const [a, b] = [await signedIn(), await signedIn({ user: "bob", pass: "battery staple" })];
    assert.equal((await ask("GET", "/webapi/user/status", { ...a, headers: b.headers })).status, 403);
    assert.equal((await ask("GET", "/webapi/user/status", b)).status, 200);
    assert.notDeepEqual(alice.cookies, {});
  });

  test("S42: the cookie of one user with another's name in it is refused", async () => {
    const { headers, cookies } = await signedIn();
    const held = JSON.parse(Buffer.from(cookies.session ?? "", "hex").toString()) as { sid: string };
    const forged = Buffer.from(JSON.stringify({ user: "bob", sid: held.sid })).toString("hex");
    assert.equal(
      (await ask("GET", "/webapi/user/status", { headers, cookies: { session: forged } })).status,
      403,
    );
  });

  for (const [method, path] of [
    ["GET", "/webapi/user/status"],
    ["GET", "/webapi/user/context"],
    ["POST", "/webapi/sessions/renew"],
    ["DELETE", "/webapi/sessions"],
    ["PUT", "/webapi/users/password"],
  ] as const) {
    test(`${method} ${path} wants both halves of a session`, async () => {
      const { headers, cookies } = await signedIn();
      for (const half of [
        {},
        { headers },
        { cookies },
        { headers, cookies: { session: "zz" } },
        { headers, cookies: { session: "7b7d" } },
      ]) {
        const answer = await ask(method, path, half);
        assert.equal(answer.status, 403, answer.text);
        assert.deepEqual(json(answer), { message: "sign in first" });
      }
    });
  }

  test("the context says who one is and what the roles allow", async () => {
    const none = { list: false, read: false, edit: false, create: false, remove: false };
    assert.deepEqual(json(await ask("GET", "/webapi/user/context", await signedIn())), {
      authType: "local",
      userName: "alice",
      clusterName: "main",
      roles: ["admin", "dba"],
      userAcl: {
        sessions: { ...none, list: true },
        authConnectors: none,
        roles: none,
        trustedClusters: none,
        sshLogins: ["root", "postgres"],
      },
      version: "5.0.0",
    });
  });

  test("a renewed session has new halves and the old ones are dead", async () => {
    const old = await signedIn();
    const answer = await ask("POST", "/webapi/sessions/renew", old);
    assert.equal(answer.status, 200);
    const { token } = json(answer) as { token: string };
    const session = answer.cookies[0]?.value ?? "";
    assert.equal((await ask("GET", "/webapi/user/status", old)).status, 403);
    const renewed = { headers: { authorization: `Bearer ${token}` }, cookies: { session } };
    assert.equal((await ask("GET", "/webapi/user/status", renewed)).status, 200);
  });

  test("S46: a session is over with the logout, for whoever still holds it", async () => {
    const me = await signedIn();
    const answer = await ask("DELETE", "/webapi/sessions", me);
    assert.deepEqual(json(answer), { message: "ok" });
    assert.equal(answer.cookies[0]?.value, "");
    const later = await ask("GET", "/webapi/user/status", me);
    assert.equal(later.status, 403);
    assert.deepEqual(json(later), { message: "your session has ended; sign in again" });
    const again = await ask("DELETE", "/webapi/sessions", me);
    assert.equal(again.status, 403);
    assert.equal(again.cookies[0]?.value, "", "the cookie goes in any case");
  });

  test("a session ends with its bearer token", async () => {
    const me = await signedIn();
    await clock.advance(11 * minute);
    assert.equal((await ask("GET", "/webapi/user/status", me)).status, 403);
  });

  test("while auth is away a session is not refused but unavailable", async () => {
    const me = await signedIn();
    auth.down = new Fault("unreachable", "no auth server can be reached");
    assert.equal((await ask("GET", "/webapi/user/status", me)).status, 503);
  });

  test("one address cannot try logins without end", async () => {
    for (let i = 0; i < 60; i++) await login({ pass: "wrong" });
    assert.equal((await login()).status, 429);
    assert.equal((await login({}, { ...csrf, from: "192.0.2.9" })).status, 200);
  });
});

suite("signing up", () => {
  beforeEach(() => start());
  test("an invitation shows the name, a QR code and its seed", async () => {
    const invite = auth.invite("carol");
    const answer = await ask("GET", `/v1/webapi/users/invites/${invite}`);
    assert.equal(answer.status, 200);
    const { qr, otp_secret, ...rest } = json(answer) as { qr: string; otp_secret: string };
    assert.deepEqual(rest, { invite_token: invite, user: "carol", second_factor: "otp" });
    assert.match(otp_secret, /^[A-Z2-7]{16}$/);
    assert.equal(Buffer.from(qr, "base64").subarray(1, 4).toString(), "PNG");
  });

  test("one for a new password says that it is that", async () => {
    const answer = await ask("GET", `/webapi/users/invites/${auth.reset("alice")}`);
    assert.equal((json(answer) as { reset?: boolean }).reset, true);
  });

  test("without second factor there is no code to scan", async () => {
    await start("off");
    const invite = auth.invite("carol");
    assert.deepEqual(json(await ask("GET", `/webapi/users/invites/${invite}`)), {
      invite_token: invite,
      user: "carol",
      second_factor: "off",
      qr: "",
    });
  });

  test("an unknown invitation is 404 with auth's sentence", async () => {
    const answer = await ask("GET", "/webapi/users/invites/nope");
    assert.equal(answer.status, 404);
    assert.deepEqual(json(answer), { message: "expired or incorrect signup token" });
  });

  test("completing it makes the account and opens a session; the invitation is gone", async () => {
    const invite_token = auth.invite("carol");
    const { otp_secret } = json(await ask("GET", `/webapi/users/invites/${invite_token}`)) as {
      otp_secret: string;
    };
    const body = {
      invite_token,
      user: "carol",
      pass: "hunter22",
      second_factor_token: totp(otp_secret, clock.now()),
    };
    const answer = await ask("POST", "/webapi/users", { body });
    assert.equal(answer.status, 200, answer.text);
    const { token } = json(answer) as { token: string };
    const me = {
      headers: { authorization: `Bearer ${token}` },
      cookies: { session: answer.cookies[0]?.value ?? "" },
    };
    assert.equal(
      (json(await ask("GET", "/webapi/user/context", me)) as { userName: string }).userName,
      "carol",
    );
    assert.equal((await ask("POST", "/webapi/users", { body })).status, 404);
  });

  test("a password is changed by who knows the old one", async () => {
    const me = await signedIn();
    const b64 = (text: string): string => Buffer.from(text).toString("base64");
    const change = (old: string) =>
      ask("PUT", "/webapi/users/password", {
        ...me,
        body: { old_password: b64(old), new_password: b64("neuer Schlüssel"), second_factor_token: code() },
      });
    assert.equal((await change("wrong")).status, 403);
    const done = await change("correct horse");
    assert.equal(done.status, 200);
    assert.equal((await login({ pass: "neuer Schlüssel" })).status, 200);
    // The session of before has ended; the answer is the one to go on with.
    assert.equal((await ask("GET", "/webapi/user/status", me)).status, 403);
    const { token, message } = json(done) as { token: string; message: string };
    assert.equal(message, "ok");
    const renewed = {
      headers: { authorization: `Bearer ${token}` },
      cookies: { session: done.cookies[0]?.value ?? "" },
    };
    assert.equal((await ask("GET", "/webapi/user/status", renewed)).status, 200);
  });

  test("a password that is not base64 is refused as such", async () => {
    const body = { old_password: "%", new_password: "x" };
    assert.equal((await ask("PUT", "/webapi/users/password", { ...(await signedIn()), body })).status, 400);
  });
});

suite("a cluster that wants to trust this one (WEB-32)", () => {
  beforeEach(() => start());
  const authority = {
    kind: "cert_authority",
    version: "v2",
    metadata: { name: "east" },
    spec: { type: "host", cluster_name: "east", checking_keys: ["k"], tls_key_pairs: [{ cert: "c" }] },
  };
  const come = (body: object = {}, more: Ask = {}) =>
    ask("POST", "/v1/webapi/trustedclusters/validate", {
      body: { token: "planted-token", certificate_authorities: [authority], ...body },
      ...more,
    });

  test("is passed to auth, with the address that we see", async () => {
    const answer = await come({}, { headers: { "x-forwarded-for": "10.0.0.1" } });
    assert.deepEqual([answer.status, json(answer)], [200, { certificate_authorities: [] }]);
    const [asked] = auth.linking;
    assert.deepEqual(
      { ...asked, client_addr: "" },
      { token: "planted-token", authorities: [authority], client_addr: "" },
    );
    assert.match(asked?.client_addr ?? "", /^127\.0\.0\.1:/);
  });

  for (const [why, body] of [
    ["no token", { token: "" }],
    ["a token of another kind", { token: { planted: 1 } }],
    ["no authority", { certificate_authorities: [] }],
    ["several", { certificate_authorities: [authority, authority] }],
    ["something else than an authority", { certificate_authorities: [{ planted: 1 }] }],
  ] as const) {
    test(`comes with ${why}: it is told, without its values`, async () => {
      const answer = await come(body);
      assert.equal(answer.status, 400);
      assert.doesNotMatch(answer.text, /planted/);
      assert.deepEqual(auth.linking, []);
    });
  }

  test("may not be tried without end, and not from a browser", async () => {
    const foreign = await come({}, { headers: { origin: "https://evil.example.com" } });
    assert.equal(foreign.status, 403);
    let last = 0;
    for (let i = 0; i < 61; i++) last = (await come()).status;
    assert.equal(last, 429);
  });
});

suite("certificates for tsh", () => {
  beforeEach(() => start());
  const certs = (body: object = {}) =>
    ask("POST", "/v1/webapi/ssh/certs", {
      body: {
        user: "alice",
        password: "correct horse",
        otp_token: code(),
        pub_key: "c3NoLWVkMjU1MTkgQUFBQQ==",
        tls_pub_key: "UEVN",
        ttl: 43_200_000_000_000,
        compatibility: "",
        ...body,
      },
    });
  const text = (base64: string): string => Buffer.from(base64, "base64").toString();

  test("come in base64, with the keys of the hosts to trust", async () => {
    const answer = await certs();
    assert.equal(answer.status, 200, answer.text);
    const issued = json(answer) as {
      username: string;
      cert: string;
      tls_cert: string;
      host_signers: Record<string, string[]>[];
    };
    assert.equal(issued.username, "alice");
    assert.equal(text(issued.cert), "ssh-ed25519-cert-v01@openssh.com AAAA");
    assert.equal(text(issued.tls_cert), "-----BEGIN CERTIFICATE-----");
    assert.deepEqual(issued.host_signers, [
      {
        domain_name: "main",
        checking_keys: [Buffer.from("ssh-ed25519 BBBB").toString("base64")],
        tls_certs: [Buffer.from("PEM").toString("base64")],
      },
    ]);
  });

  test("nanoseconds of the request are milliseconds behind it", async () => {
    await certs();
    assert.equal(auth.logins[0]?.ttl, 43_200_000);
  });

  test("no TLS certificate without a TLS key", async () => {
    assert.equal("tls_cert" in (json(await certs({ tls_pub_key: undefined })) as object), false);
  });

  test("a wrong code is 403", async () => assert.equal((await certs({ otp_token: "x" })).status, 403));

  for (const [what, body] of [
    ["no key", { pub_key: "" }],
    ["a life of nothing", { ttl: 0 }],
    ["an unknown compatibility", { compatibility: "newssh" }],
  ] as const) {
    test(`${what} is 400`, async () => assert.equal((await certs(body)).status, 400));
  }
});

suite("pages", () => {
  beforeEach(() => start());
  test("/ leads to /web", async () => {
    const answer = await ask("GET", "/");
    assert.equal(answer.status, 302);
    assert.equal(answer.headers.location, "/web");
  });

  for (const path of ["/web", "/web/login", "/web/newuser/abc", "/web/cluster/main/node/x/root"]) {
    test(`${path} is the app, with this browser's CSRF token`, async () => {
      const answer = await ask("GET", path);
      assert.equal(answer.status, 200);
      assert.match(String(answer.headers["content-type"]), /^text\/html/);
      assert.match(String(answer.headers["cache-control"]), /no-store/);
      const [cookie] = answer.cookies;
      assert.equal(cookie?.name, "grv_csrf");
      assert.equal(answer.text, `<meta name="grv_csrf_token" content="${cookie?.value}">`);
      assert.deepEqual(
        { ...cookie, value: "" },
        { name: "grv_csrf", value: "", path: "/", httpOnly: true, secure: true, sameSite: "Lax" },
      );
    });
  }

  test("a browser keeps its token; one that is no token is replaced, not written into the page", async () => {
    assert.deepEqual((await ask("GET", "/web", { cookies: csrf.cookies })).cookies, []);
    const answer = await ask("GET", "/web", { cookies: { grv_csrf: '"><script>alert(1)</script>' } });
    assert.doesNotMatch(answer.text, /script/);
    assert.equal(answer.cookies.length, 1);
  });

  test("files of the app may be kept for ever", async () => {
    const answer = await ask("GET", "/web/app/index-1a2b.js");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["cache-control"], "public, max-age=31536000, immutable");
    assert.equal(answer.headers.pragma, undefined);
    assert.equal(answer.headers.expires, undefined);
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
  });

  for (const path of [
    "/web/app/",
    "/web/app/none.js",
    "/web/app/.secret",
    "/web/app/..%2findex.html",
    "/webapi",
    "/webapi/nothing",
    "/favicon.ico",
    "/v2/webapi/ping",
  ]) {
    test(`${path} is 404`, async () => {
      const answer = await ask("GET", path);
      assert.equal(answer.status, 404);
      assert.deepEqual(json(answer), { message: "there is nothing at this address" });
      assert.match(String(answer.headers["cache-control"]), /no-store/);
    });
  }

  test("config.js sets GRV_CONFIG to the ping and the buttons of the login page", async () => {
    const answer = await ask("GET", "/web/config.js");
    assert.match(String(answer.headers["content-type"]), /^text\/javascript/);
    const told = JSON.parse(answer.text.replace(/^globalThis\.GRV_CONFIG = (.*);\n$/, "$1")) as unknown;
    const ping = json(await ask("GET", "/webapi/ping")) as object;
    assert.deepEqual(told, { ...ping, providers: [], local_auth: true });
  });

  test("S67: config.js escapes what could end its script", async () => {
    trouble = "</script><script>alert(1)//\u2028";
    const answer = await ask("GET", "/web/config.js");
    assert.equal(answer.status, 200);
    assert.doesNotMatch(answer.text, /[<>\u2028]/);
  });

  test("without built pages the API works and the pages say why they do not", async () => {
    await start("otp", join(pages, "nowhere"));
    assert.equal((await ask("GET", "/webapi/ping")).status, 200);
    const answer = await ask("GET", "/web");
    assert.equal(answer.status, 503);
    assert.match(answer.text, /make deps/);
  });
});

suite("every answer", () => {
  beforeEach(() => start());
  for (const path of ["/web", "/webapi/ping", "/nothing", "/%", "/web/app/index-1a2b.js"]) {
    test(`${path} carries the security headers`, async () => {
      const { headers } = await ask("GET", path);
      assert.equal(headers["x-frame-options"], "SAMEORIGIN");
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["referrer-policy"], "no-referrer");
      assert.equal(headers["strict-transport-security"], "max-age=31536000");
      assert.ok("x-xss-protection" in headers);
    });
  }

  test("S67: the content security policy has neither unsafe-inline nor another origin", async () => {
    const policy = String((await ask("GET", "/web")).headers["content-security-policy"]);
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  });

  const good = '"user":"alice","password":"correct horse","pub_key":"c3No","ttl":1000000';
  for (const body of [
    `{${good},"__proto__":{"isAdmin":true}}`,
    `{${good},"constructor":{"prototype":{"isAdmin":true}}}`,
    `{${good}`,
    "[]",
    '"x"',
    "null",
    "17",
  ]) {
    test(`S61: a body of ${body} is refused and changes nothing`, async () => {
      const answer = await app.inject({
        method: "POST",
        url: "/webapi/ssh/certs",
        headers: { "content-type": "application/json" },
        payload: body,
      });
      assert.equal(answer.statusCode, 400);
      assert.equal(({} as { isAdmin?: boolean }).isAdmin, undefined);
      assert.equal(typeof (answer.json() as { message: string }).message, "string");
    });
  }

  test("S61: a session cookie cannot reach a prototype", async () => {
    const { headers } = await signedIn();
    const session = Buffer.from(
      '{"__proto__":{"user":"alice","sid":"00000000000000000000000000000001"}}',
    ).toString("hex");
    assert.equal((await ask("GET", "/webapi/user/status", { headers, cookies: { session } })).status, 403);
  });

  test("S47: what a client claims about itself reaches nobody", async () => {
    const claims = {
      "x-forwarded-for": "10.0.0.1",
      forwarded: "for=10.0.0.1",
      "x-real-ip": "10.0.0.1",
      "x-remote-user": "root",
      "x-webauth-user": "root",
      "x-teleport-user": "root",
      "remote-user": "root",
    };
    await login({}, { ...csrf, headers: { ...csrf.headers, ...claims } });
    assert.match(auth.logins[0]?.client_addr ?? "", /^127\.0\.0\.1:/);
    assert.equal((await ask("GET", "/webapi/user/status", { headers: claims })).status, 403);
  });

  test("a body over 64 KiB is 413", async () => {
    assert.equal((await login({ pass: "x".repeat(70_000) })).status, 413);
  });

  test("S72: a bug in the server shows no stack to the client, and no secret to anyone", async () => {
    const secrets = ["planted-password", "424242", "planted-invite"];
    auth.down = new Error("database is on fire at /secret/path");
    const answers = [
      await login({ pass: secrets[0], second_factor_token: secrets[1] }),
      await ask("GET", `/webapi/users/invites/${secrets[2]}`),
      await ask("POST", "/webapi/users", { body: { invite_token: secrets[2], user: "x", pass: secrets[0] } }),
    ];
    for (const answer of answers) {
      assert.equal(answer.status, 500);
      assert.deepEqual(json(answer), { message: "something went wrong in the server; its log says what" });
    }
    assert.equal(log.lines.length, 3);
    assert.deepEqual(
      log.lines.map(({ fields }) => fields.route),
      ["/webapi/sessions", "/webapi/users/invites/:token", "/webapi/users"],
    );
    const told = JSON.stringify(log.lines);
    assert.match(told, /database is on fire/);
    for (const secret of secrets) assert.equal(told.includes(secret), false, secret);
  });

  test("S72: what is wrong with a body is said without its values", async () => {
    const answer = await ask("POST", "/webapi/ssh/certs", {
      body: {
        user: "alice",
        password: { planted: 1 },
        otp_token: "planted-code".repeat(20),
        pub_key: "k",
        ttl: 1,
      },
    });
    assert.equal(answer.status, 400);
    assert.doesNotMatch(answer.text, /planted/);
  });
});
