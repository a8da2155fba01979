import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import { minute, TestClock } from "#core/clock";
import { Connector } from "#model";
import { type HostileOidc, startHostileOidc } from "../../../test/support/hostile-oidc.ts";
import { cluster } from "../testing/cluster.ts";

const callback = "https://proxy.example.com/v1/webapi/oidc/callback";
const csrf_token = "ab".repeat(32);

/** A cluster with a connector to a provider that may do as it likes. */
async function setting() {
  await using stack = new AsyncDisposableStack();
  const clock = new TestClock();
  const backend = stack.use(new MemoryBackend(clock));
  const provider = stack.use(await startHostileOidc(clock));
  const c = stack.use(await cluster({ sso: { clear: [provider.issuer] } }, { backend, clock }));
  const connector = Connector.parse({
    kind: "oidc",
    version: "v2",
    metadata: { name: "corp" },
    spec: {
      issuer_url: provider.issuer,
      ...provider.client,
      redirect_url: callback,
      claims_to_roles: [{ claim: "groups", value: "dev", roles: ["admin"] }],
    },
  });
  await c.admin["connectors.put"]({ connector });
  const flow = { type: "web", redirect_url: "/web", csrf_token } as const;
  const start = () => c.proxy["sso.start"]({ kind: "oidc", flow });
  const visit = async (): Promise<string> => {
    const { redirect_url } = await start();
    const response = await fetch(redirect_url, { redirect: "manual" });
    return new URL(response.headers.get("location") ?? "").search.slice(1);
  };
  const finish = (query: string) => c.proxy["sso.finish"]({ kind: "oidc", query, csrf_token });
  const open = stack.move();
  return {
    c,
    provider,
    start,
    visit,
    finish,
    logIn: async () => finish(await visit()),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** An HMAC with the public key as its secret, for who takes the algorithm from the token. */
const byPublicKey =
  (provider: HostileOidc) =>
  (text: string): Buffer =>
    createHmac("sha256", createPublicKey(provider.key).export({ type: "spki", format: "pem" }))
      .update(text)
      .digest();

suite("S24: an OpenID Connect provider, or who poses as one", () => {
  test("one that does all as it should is believed", async () => {
    await using s = await setting();
    assert.equal((await s.logIn()).type, "web");
    assert.deepEqual((await s.c.admin["users.get"]({ name: "alice@example.com" })).spec.traits.groups, [
      "dev",
    ]);
  });

  const now = Math.floor(new TestClock().now() / 1000);
  for (const [why, change] of [
    ["a token for another client", (p) => (p.claims = (c) => ({ ...c, aud: "another" }))],
    [
      "a token for several, used by another",
      (p) => (p.claims = (c) => ({ ...c, aud: ["teleport", "x"], azp: "x" })),
    ],
    ["a token of another issuer", (p) => (p.claims = (c) => ({ ...c, iss: "https://evil.example.com" }))],
    ["a token of another login", (p) => (p.claims = (c) => ({ ...c, nonce: "another" }))],
    ["a token of no login", (p) => (p.claims = ({ nonce: _, ...c }) => c)],
    ["a token of a while ago", (p) => (p.claims = (c) => ({ ...c, iat: now - 7200, exp: now - 3600 }))],
    ["a token without an end", (p) => (p.claims = ({ exp: _, ...c }) => c)],
    ["a token about nobody", (p) => (p.claims = ({ sub: _, ...c }) => c)],
    ["a token that nobody signed", (p) => (p.header = () => ({ alg: "none" }))],
    [
      "a token that nobody signed and has no signature",
      (p) => {
        p.header = () => ({ alg: "none" });
        p.signature = () => Buffer.alloc(0);
      },
    ],
    [
      "a token signed with the public key as a password",
      (p) => {
        p.header = () => ({ alg: "HS256", kid: "1" });
        p.signature = byPublicKey(p);
      },
    ],
    [
      "a token signed by somebody else",
      (p) => {
        const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
        p.signature = (text) => sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
      },
    ],
    ["a signature of nothing", (p) => (p.signature = () => Buffer.alloc(64))],
    ["a token of a key that it does not have", (p) => (p.header = (h) => ({ ...h, kid: "2" }))],
    ["userinfo about somebody else", (p) => (p.userinfo = (u) => ({ ...u, sub: "9999" }))],
    [
      "no ID token at all",
      (p) => {
        p.take = (path, response) => {
          if (path !== "/token") return false;
          response.setHeader("content-type", "application/json");
          response.end('{"access_token":"a","token_type":"Bearer"}');
          return true;
        };
      },
    ],
  ] as [string, (provider: HostileOidc) => void][]) {
    test(`${why} lets nobody in`, async () => {
      await using s = await setting();
      change(s.provider);
      const done = await s.logIn();
      assert.match(done.type === "refused" ? done.error : done.type, /did not confirm the login/);
      assert.deepEqual(await s.c.admin["users.list"]({}), []);
      const event = s.c.events.find(({ code }) => code === "T1001W");
      assert.ok(event?.code === "T1001W" && event.message, "the audit log says why");
      assert.ok(!JSON.stringify([s.c.events, s.c.log]).includes("planted"));
    });
  }

  test("a key that the provider took back is good no more, from that moment on", async () => {
    await using s = await setting();
    assert.equal((await s.logIn()).type, "web");
    const old = s.provider.key;
    s.provider.rotate();
    s.provider.header = (h) => ({ ...h, kid: "1" });
    s.provider.signature = (text) =>
      sign("sha256", Buffer.from(text), { key: old, dsaEncoding: "ieee-p1363" });
    assert.equal((await s.logIn()).type, "refused");
    s.provider.header = (h) => h;
    s.provider.signature = undefined;
    assert.equal((await s.logIn()).type, "web");
  });

  test("an answer that names another issuer is not for this login (RFC 9207)", async () => {
    await using s = await setting();
    const query = `${await s.visit()}&iss=https%3A%2F%2Fevil.example.com`;
    assert.equal((await s.finish(query)).type, "refused");
  });

  test("tokens in the address, as of a flow that nobody asked for, are not taken", async () => {
    await using s = await setting();
    assert.equal((await s.finish(`${await s.visit()}&id_token=x`)).type, "refused");
  });

  for (const [why, change] of [
    ["is another issuer", (p) => (p.metadata = (m) => ({ ...m, issuer: "https://evil.example.com" }))],
    [
      "sends people to a script",
      (p) => (p.metadata = (m) => ({ ...m, authorization_endpoint: "javascript:1" })),
    ],
    [
      "sends people to a page without TLS",
      (p) => (p.metadata = (m) => ({ ...m, authorization_endpoint: "http://evil.example.com/" })),
    ],
    ["has no page to log in at", (p) => (p.metadata = ({ authorization_endpoint: _, ...m }) => m)],
    [
      "redirects elsewhere",
      (p) => {
        p.take = (_, response) => {
          response.writeHead(302, { location: "https://evil.example.com/" }).end();
          return true;
        };
      },
    ],
    [
      "says two megabytes of itself",
      (p) => (p.metadata = (m) => ({ ...m, more: "a".repeat(2 * 1024 * 1024) })),
    ],
  ] as [string, (provider: HostileOidc) => void][]) {
    test(`one that ${why} is nowhere to log in`, async () => {
      await using s = await setting();
      change(s.provider);
      await assert.rejects(s.start(), /"corp" does not answer as it should; ask your administrator/);
    });
  }

  test("one that is slow is given up after 20 s", async () => {
    await using s = await setting();
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    s.provider.take = (path) => {
      if (path === "/token") resolve();
      return path === "/token";
    };
    const ended = s.logIn();
    await reached;
    await s.c.clock.advance(20_000);
    assert.equal((await ended).type, "refused");
  });

  test("what it says of itself is asked again after ten minutes", async () => {
    await using s = await setting();
    await s.start();
    s.provider.metadata = (m) => ({ ...m, authorization_endpoint: `${s.provider.issuer}/elsewhere` });
    assert.match((await s.start()).redirect_url, /\/authorize\?/);
    await s.c.clock.advance(10 * minute);
    assert.match((await s.start()).redirect_url, /\/elsewhere\?/);
  });

  test("a code stolen from somebody's browser is no use in a login of one's own", async () => {
    await using s = await setting();
    const theirs = new URLSearchParams(await s.visit());
    const mine = new URLSearchParams(await s.visit());
    await s.visit();
    mine.set("code", theirs.get("code") ?? "");
    // The provider answers with the token of the last visit, whose nonce is that of another login.
    assert.equal((await s.finish(String(mine))).type, "refused");
  });
});
