import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryBackend } from "#backend";
import type { KeyAnswer, KeyRequest } from "#contract/webauthn";
import { hour, minute, TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { AuthPreference, ProxyServer } from "#model";
import { parsePublicKeyLine } from "#ssh/keys";
import { account, type Cluster, cluster, hostId, publicKeys, role } from "../testing/cluster.ts";
import { type Deviation, SoftwareKey } from "../testing/software-key.ts";
import { relyingParty } from "./relying-party.ts";

const origin = "https://proxy.example.com:3080";
const config = {
  preference: AuthPreference.parse({ second_factor: "webauthn", u2f: { app_id: origin } }),
};
const password = "correct horse";
const client_addr = "203.0.113.9:4711";
const vague = "invalid username, password or second factor";
const invalid = /^invalid response of the security key/;

async function invited(c: Cluster, user: string): Promise<string> {
  return (await c.admin["signups.create"]({ user, traits: { logins: [user] }, ttl: hour })).token;
}
/** Signs up with a new key, which it answers. */
async function signUp(c: Cluster, user: string, key = new SoftwareKey(origin)): Promise<SoftwareKey> {
  const token = await invited(c, user);
  const webauthn = [key.create(await c.proxy["signups.challenge"]({ token }))];
  await c.proxy["signups.complete"]({ token, password, webauthn, client_addr });
  return key;
}
const ask = (c: Cluster, user: string, given = password): Promise<KeyRequest> =>
  c.proxy["logins.challenge"]({ user, password: given, purpose: "web", client_addr });
const answer = (c: Cluster, user: string, webauthn: KeyAnswer) =>
  c.proxy["logins.web"]({ user, password: "", webauthn, client_addr });
const logIn = async (c: Cluster, user: string, key: SoftwareKey, how?: Deviation) =>
  answer(c, user, key.get(await ask(c, user), how));
const refused = async (attempt: Promise<unknown>, kind: FaultKind = "access_denied"): Promise<string> => {
  const err = await attempt.then(
    () => assert.fail("was let in"),
    (err: unknown) => err,
  );
  assert.ok(Fault.is(err, kind), String(err));
  return err.message;
};
/** What the audit log says of the last refused login. */
const why = (c: Cluster): string | undefined => {
  const event = c.events.findLast((e) => e.code === "T1000W");
  return event?.code === "T1000W" ? event.message : undefined;
};

suite("security keys (AUTH-38)", () => {
  test("a key is enrolled at signup and logs in after the password", async () => {
    await using c = await cluster(config);
    const token = await invited(c, "joe");
    const shown = await c.proxy["signups.get"]({ token });
    assert.deepEqual(shown, { user: "joe", second_factor: "webauthn" });
    const asked = await c.proxy["signups.challenge"]({ token });
    assert.deepEqual(asked.rp, { id: "proxy.example.com", name: "Teleport main" });
    assert.equal(asked.attestation, "none");
    const key = new SoftwareKey(origin);
    const first = await c.proxy["signups.complete"]({
      token,
      password,
      webauthn: [key.create(asked)],
      client_addr,
    });
    assert.equal(first.user, "joe");
    const enrolled = c.events.find((e) => e.code === "T4110I");
    assert.ok(enrolled?.code === "T4110I");
    assert.deepEqual([enrolled.user, enrolled.key], ["joe", key.id.toString("base64url")]);

    const request = await ask(c, "joe");
    assert.equal(request.rpId, "proxy.example.com");
    assert.equal(request.userVerification, "discouraged");
    assert.deepEqual(request.allowCredentials, [
      { id: key.id.toString("base64url"), type: "public-key", transports: ["usb"] },
    ]);
    assert.equal((await answer(c, "joe", key.get(request))).user, "joe");
    const logins = c.events.filter((e) => e.code === "T1000I");
    assert.equal(logins.length, 2);
  });

  test("a second key in reserve logs in as the first does; one key twice is no reserve", async () => {
    await using c = await cluster(config);
    const token = await invited(c, "joe");
    const keys = [new SoftwareKey(origin), new SoftwareKey(origin)] as const;
    const created = async (key: SoftwareKey) => key.create(await c.proxy["signups.challenge"]({ token }));
    const twice = [await created(keys[0]), await created(keys[0])];
    const same = c.proxy["signups.complete"]({ token, password, webauthn: twice });
    assert.match(await refused(same), /enrolled twice/);
    const webauthn = [await created(keys[0]), await created(keys[1])];
    await c.proxy["signups.complete"]({ token, password, webauthn });
    for (const key of keys) await logIn(c, "joe", key);
    assert.equal(c.events.filter((e) => e.code === "T4110I").length, 2);
  });

  for (const attestation of ["none", "packed"] as const)
    test(`takes an attestation of the form ${attestation}`, async () => {
      await using c = await cluster(config);
      const token = await invited(c, "joe");
      const key = new SoftwareKey(origin);
      const webauthn = key.create(await c.proxy["signups.challenge"]({ token }), { attestation });
      await c.proxy["signups.complete"]({ token, password, webauthn: [webauthn] });
      await logIn(c, "joe", key);
    });

  test("S62: an attestation with certificates is not looked at: they could name any address to fetch", async () => {
    await using c = await cluster(config);
    for (const attestation of ["packed-x5c", "tpm"] as const) {
      const token = await invited(c, "joe");
      const asked = await c.proxy["signups.challenge"]({ token });
      const webauthn = new SoftwareKey(origin).create(asked, { attestation });
      const completed = c.proxy["signups.complete"]({ token, password, webauthn: [webauthn] });
      assert.match(await refused(completed), /not enrolled/);
      const event = c.events.findLast((e) => e.code === "T4110W");
      assert.ok(event?.code === "T4110W");
      assert.match(event.message, /an attestation was sent that was not asked for/);
    }
  });

  const wrongEnrolments: Record<string, Deviation> = {
    "a page of somebody else": { origin: "https://evil.example.com" },
    "a page on another port": { origin: "https://proxy.example.com:4443" },
    "another relying party": { rpId: "evil.example.com" },
    "a challenge of nobody": { challenge: "AAAA" },
    "a key that nobody touched": { touched: false },
    "the answer to a login": { type: "webauthn.get" },
    "a frame of another site": { crossOrigin: true },
  };
  for (const [what, deviation] of Object.entries(wrongEnrolments))
    test(`refuses to enrol ${what}, and the invitation stays good`, async () => {
      await using c = await cluster(config);
      const token = await invited(c, "joe");
      const key = new SoftwareKey(origin);
      const bad = key.create(await c.proxy["signups.challenge"]({ token }), deviation);
      await refused(c.proxy["signups.complete"]({ token, password, webauthn: [bad] }));
      await refused(c.proxy["signups.complete"]({ token, password }));
      const good = key.create(await c.proxy["signups.challenge"]({ token }));
      assert.equal((await c.proxy["signups.complete"]({ token, password, webauthn: [good] })).user, "joe");
    });

  test("what a key signed for one invitation enrols it by no other", async () => {
    await using c = await cluster(config);
    const [joes, anns] = [await invited(c, "joe"), await invited(c, "ann")];
    const webauthn = new SoftwareKey(origin).create(await c.proxy["signups.challenge"]({ token: joes }));
    await refused(c.proxy["signups.complete"]({ token: anns, password, webauthn: [webauthn] }));
  });

  const wrongAnswers: Record<string, [Deviation, RegExp]> = {
    "from a page of somebody else": [{ origin: "https://evil.example.com" }, /origin/],
    "from the page without its port": [{ origin: "https://proxy.example.com" }, /origin/],
    "from a page without TLS": [{ origin: "http://proxy.example.com:3080" }, /origin/],
    "for another relying party": [{ rpId: "evil.example.com" }, /RP ID/],
    "that nobody touched a key for": [{ touched: false }, /not present/],
    "to a challenge of nobody": [{ challenge: "AAAA" }, /never given/],
    "that enrols": [{ type: "webauthn.create" }, /response type/],
    "in a frame of another site": [{ crossOrigin: true }, /frame/],
    "that another key signed": [
      { signedBy: new SoftwareKey(origin).pair.privateKey },
      /signature of the security key is wrong/,
    ],
  };
  for (const [what, [deviation, reason]] of Object.entries(wrongAnswers))
    test(`S19: refuses an answer ${what}, and the log knows why`, async () => {
      await using c = await cluster(config);
      const key = await signUp(c, "joe");
      assert.match(await refused(logIn(c, "joe", key, deviation)), invalid);
      assert.match(why(c) ?? "", reason);
      await logIn(c, "joe", key);
    });

  test("S22: an answer is good once, also for two logins at the same moment", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const webauthn = key.get(await ask(c, "joe"));
    const both = await Promise.allSettled([1, 2].map(() => answer(c, "joe", webauthn)));
    assert.deepEqual(both.map((r) => r.status).sort(), ["fulfilled", "rejected"]);
    assert.match(await refused(answer(c, "joe", webauthn)), invalid);
    assert.match(why(c) ?? "", /used/);
  });

  test("S22: an answer is good once also across two auth servers, for a key that does not count", async () => {
    const clock = new TestClock();
    await using backend = new MemoryBackend(clock);
    await using one = await cluster(config, { clock, backend });
    await using two = await cluster(config, { clock, backend });
    const key = new SoftwareKey(origin);
    key.counter = undefined;
    await signUp(one, "joe", key);
    const webauthn = key.get(await ask(one, "joe"));
    const both = await Promise.allSettled([one, two].map((c) => answer(c, "joe", webauthn)));
    assert.deepEqual(both.map((r) => r.status).sort(), ["fulfilled", "rejected"]);
  });

  test("a challenge is good for five minutes", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const late = key.get(await ask(c, "joe"));
    await c.clock.advance(5 * minute);
    await refused(answer(c, "joe", late));
    const inTime = key.get(await ask(c, "joe"));
    await c.clock.advance(5 * minute - 1);
    await answer(c, "joe", inTime);
  });

  test("S24: another user's key, and another user's challenge, log nobody in", async () => {
    await using c = await cluster(config);
    const [joes, anns] = [await signUp(c, "joe"), await signUp(c, "ann")];
    // Ann's key says that it is Joe's, signs what Joe was asked for, and the other way round.
    const ofJoe = await ask(c, "joe");
    const disguised = { ...ofJoe, allowCredentials: (await ask(c, "ann")).allowCredentials };
    assert.match(await refused(answer(c, "joe", anns.get(disguised))), invalid);
    assert.match(why(c) ?? "", /none of this user's/);
    const id = joes.id.toString("base64url");
    const posing = { ...anns.get({ ...(await ask(c, "joe")), ...disguised }), id, rawId: id };
    assert.match(await refused(answer(c, "joe", posing)), invalid);
    assert.match(await refused(answer(c, "ann", joes.get(await ask(c, "joe")))), invalid);
    assert.match(why(c) ?? "", /something else/);
  });

  test("S25: what was signed for one purpose is good for no other", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const { id } = await begin(c);
    const forPassword = () =>
      c.proxy["logins.challenge"]({ user: "joe", password, purpose: "password", client_addr });
    const forConsole = () => c.proxy["console_logins.challenge"]({ id, password, client_addr });
    const changing = (webauthn: KeyAnswer) =>
      c.proxy["users.change_password"]({
        user: "joe",
        password,
        new_password: "another one",
        webauthn,
        client_addr,
      });
    const completing = (webauthn: KeyAnswer) =>
      c.proxy["console_logins.complete"]({ id, webauthn, client_addr });
    for (const attempt of [
      async () => answer(c, "joe", key.get(await forPassword())),
      async () => answer(c, "joe", key.get(await forConsole())),
      async () => changing(key.get(await ask(c, "joe"))),
      async () => completing(key.get(await ask(c, "joe"))),
    ]) {
      assert.match(await refused(attempt()), invalid);
      assert.match(why(c) ?? "", /something else/);
    }
    await changing(key.get(await forPassword()));
    assert.equal(await refused(ask(c, "joe")), vague);
    await ask(c, "joe", "another one");
  });

  test("S25: no path lets a password alone in", async () => {
    await using c = await cluster(config);
    await signUp(c, "joe");
    const { ssh } = await publicKeys();
    const credentials = { user: "joe", password, otp_token: "123456" };
    for (const attempt of [
      c.proxy["logins.web"](credentials),
      c.proxy["logins.certs"]({ ...credentials, pub_key: ssh, ttl: hour }),
      c.proxy["users.change_password"]({ ...credentials, new_password: "another one" }),
    ])
      assert.equal(await refused(attempt), "missing second factor");
  });

  test("S23: with local logins off, no key gets anybody in", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const request = await ask(c, "joe");
    const token = await invited(c, "ann");
    const { id } = await begin(c);
    const { preference } = c.auth.parts.store;
    await preference.put({ ...config.preference, local_auth: false });
    for (const attempt of [
      () => ask(c, "joe"),
      () => answer(c, "joe", key.get(request)),
      () => c.proxy["signups.challenge"]({ token }),
      () => begin(c),
      () => c.proxy["console_logins.challenge"]({ id, password, client_addr }),
      () => c.proxy["console_logins.complete"]({ id, webauthn: key.get(request), client_addr }),
    ])
      assert.match(await refused(attempt()), /switched off/);
  });

  test("a key that counts backwards is refused, and the log says that there may be a copy", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    await logIn(c, "joe", key, { counter: 20 });
    for (const counter of [20, 19, 0]) {
      assert.match(await refused(logIn(c, "joe", key, { counter })), invalid);
      const event = c.events.findLast((e) => e.code === "T4111W");
      assert.ok(event?.code === "T4111W");
      assert.deepEqual([event.user, event.stored, event.given], ["joe", 20, counter]);
      assert.equal(event["addr.remote"], client_addr);
    }
    await logIn(c, "joe", key, { counter: 21 });
  });

  test("a key that does not count logs in again and again", async () => {
    await using c = await cluster(config);
    const key = new SoftwareKey(origin);
    key.counter = undefined;
    await signUp(c, "joe", key);
    for (let i = 0; i < 3; i++) await logIn(c, "joe", key);
    assert.equal(
      c.events.find((e) => e.code === "T4111W"),
      undefined,
    );
  });

  test("S21: names of nobody, wrong passwords and accounts without a key get one answer", async () => {
    await using c = await cluster(config);
    await signUp(c, "joe");
    await c.addUser("keyless");
    const { store } = c.auth.parts;
    const joes = await store.passwords.get("joe");
    await store.passwords.put({ ...joes, user: "keyless" });
    for (const [user, given] of [
      ["joe", "wrong password"],
      ["nobody", password],
      ["keyless", password],
      ["", password],
      ["a/b", password],
    ] as const)
      assert.equal(await refused(ask(c, user, given)), vague, user);
  });

  test("S21: with and without an account it is read and counted as often", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const { backend } = c;
    const reads = async (attempt: () => Promise<unknown>): Promise<number> => {
      let count = 0;
      const { get } = backend;
      backend.get = (name) => {
        count++;
        return get.call(backend, name);
      };
      await refused(attempt());
      backend.get = get;
      return count;
    };
    const stale = key.get(await ask(c, "joe"), { challenge: "AAAA" });
    // The account itself says whether it is locked; of nobody the attempts say so, which is one more question.
    const known = await reads(() => ask(c, "joe", "wrong password"));
    assert.equal(await reads(() => ask(c, "nobody", "wrong password")), known + 1);
    const knownAnswer = await reads(() => answer(c, "joe", stale));
    assert.equal(await reads(() => answer(c, "nobody", stale)), knownAnswer + 1);
  });

  test("AUTH-40: wrong passwords and wrong keys count together, and a password alone ends no count", async () => {
    for (const name of ["joe", "nobody"]) {
      await using c = await cluster(config);
      const key = await signUp(c, "joe");
      const stale = key.get(await ask(c, "joe"), { challenge: "AAAA" });
      for (let i = 0; i < 2; i++) assert.equal(await refused(ask(c, name, "wrong password")), vague);
      for (let i = 0; i < 2; i++) {
        if (name === "joe") await ask(c, name);
        assert.match(await refused(answer(c, name, stale)), invalid);
      }
      assert.match(await refused(answer(c, name, stale)), /locked until/);
      assert.match(await refused(ask(c, name)), /locked until/);
    }
  });

  test("who is locked by an administrator learns it by the password only, and no key helps", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const request = await ask(c, "joe");
    await c.admin["users.put"]({ user: account("joe", { status: { is_locked: true } }), force: true });
    assert.equal(await refused(ask(c, "joe", "wrong password")), vague);
    assert.match(await refused(ask(c, "joe")), /is locked; ask your administrator/);
    assert.match(await refused(answer(c, "joe", key.get(request))), /is locked/);
  });

  test("S46: a password that was changed since the challenge was given for it opens nothing", async () => {
    await using c = await cluster(config);
    const key = new SoftwareKey(origin);
    key.counter = undefined;
    await signUp(c, "joe", key);
    const before = key.get(await ask(c, "joe"));
    const asked = await c.proxy["logins.challenge"]({ user: "joe", password, purpose: "password" });
    const change = { user: "joe", password: "", new_password: "another one", webauthn: key.get(asked) };
    await c.proxy["users.change_password"](change);
    assert.match(await refused(answer(c, "joe", before)), invalid);
    assert.equal(why(c), "the password was changed meanwhile");
  });

  test("a reset takes the keys away at once, and the new page enrols others", async () => {
    await using c = await cluster(config);
    const lost = await signUp(c, "joe");
    const request = await ask(c, "joe");
    const { token } = await c.admin["users.reset"]({ name: "joe", ttl: hour });
    assert.match(await refused(answer(c, "joe", lost.get(request))), invalid);
    assert.match(why(c) ?? "", /none of this user's/);
    const found = new SoftwareKey(origin);
    const webauthn = [found.create(await c.proxy["signups.challenge"]({ token }))];
    await c.proxy["signups.complete"]({ token, password: "another one", webauthn, client_addr });
    const asked = await ask(c, "joe", "another one");
    assert.deepEqual(
      asked.allowCredentials.map(({ id }) => id),
      [found.id.toString("base64url")],
    );
    await answer(c, "joe", found.get(asked));
  });

  test("AUTH-42: with the user go the keys", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    await c.admin["users.delete"]({ name: "joe" });
    await c.addUser("joe");
    const { store } = c.auth.parts;
    assert.equal(await store.securityKeys.find("joe"), undefined);
    const again = await signUp(c, "ann", key);
    await logIn(c, "ann", again);
  });

  test("a cluster with another second factor asks for no keys", async () => {
    await using c = await cluster();
    await c.signUp("joe");
    const token = await invited(c, "ann");
    for (const attempt of [
      () => ask(c, "joe"),
      () => c.proxy["signups.challenge"]({ token }),
      () => begin(c),
    ])
      assert.match(await refused(attempt(), "bad_parameter"), /does not ask for security keys/);
  });
});

const redirect_url = `http://127.0.0.1:4242/callback?secret_key=${"ab".repeat(32)}`;
async function begin(c: Cluster, more: object = {}): Promise<{ id: string }> {
  const { ssh, tls } = await publicKeys();
  return c.proxy["console_logins.create"]({
    user: "joe",
    redirect_url,
    pub_key: ssh,
    tls_pub_key: tls,
    ttl: hour,
    ...more,
  });
}

suite("tsh login with a security key", () => {
  const finish = async (c: Cluster, id: string, key: SoftwareKey) => {
    const request = await c.proxy["console_logins.challenge"]({ id, password, client_addr });
    return c.proxy["console_logins.complete"]({ id, webauthn: key.get(request), client_addr });
  };

  test("certifies the keys that it began with, once", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const { id } = await begin(c);
    assert.deepEqual(await c.proxy["console_logins.get"]({ id }), { user: "joe" });
    const { certs, redirect_url: to } = await finish(c, id, key);
    assert.equal(to, redirect_url);
    assert.equal(certs.username, "joe");
    assert.match(certs.cert ?? "", /^ssh-ed25519-cert-v01@openssh\.com /);
    assert.match(certs.tls_cert ?? "", /^-----BEGIN CERTIFICATE-----/);
    assert.match(await refused(finish(c, id, key), "not_found"), /begin it anew in your terminal/);
  });

  test("of two answers at the same moment one gets certificates", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const { id } = await begin(c);
    const request = () => c.proxy["console_logins.challenge"]({ id, password, client_addr });
    const answers = [key.get(await request()), key.get(await request())];
    const both = await Promise.allSettled(
      answers.map((webauthn) => c.proxy["console_logins.complete"]({ id, webauthn, client_addr })),
    );
    assert.deepEqual(both.map((r) => r.status).sort(), ["fulfilled", "rejected"]);
  });

  test("what was signed for one login of tsh is good for no other", async () => {
    await using c = await cluster(config);
    const key = await signUp(c, "joe");
    const [one, two] = [await begin(c), await begin(c)];
    const webauthn = key.get(await c.proxy["console_logins.challenge"]({ ...one, password, client_addr }));
    assert.match(
      await refused(c.proxy["console_logins.complete"]({ ...two, webauthn, client_addr })),
      invalid,
    );
  });

  test("S18: the certificates are bound to where tsh runs, and both it and the browser have to be let in", async () => {
    await using c = await cluster(config);
    const options = { pin_source_ip: true, source_addresses: ["10.0.0.0/8", "203.0.113.0/24"] };
    await c.admin["roles.put"]({ role: role("here", { options, allow: { logins: ["joe"] } }) });
    const { token } = await c.admin["signups.create"]({
      user: "joe",
      roles: ["here"],
      traits: {},
      ttl: hour,
    });
    const key = new SoftwareKey(origin);
    const webauthn = [key.create(await c.proxy["signups.challenge"]({ token }))];
    await c.proxy["signups.complete"]({ token, password, webauthn, client_addr });
    const { certs } = await finish(c, (await begin(c, { client_addr: "10.1.2.3:40000" })).id, key);
    const { certificate } = parsePublicKeyLine(certs.cert ?? "").key;
    assert.equal(certificate?.criticalOptions.get("source-address"), "10.1.2.3/32");
    const { id } = await begin(c, { client_addr: "192.0.2.1:40000" });
    assert.match(await refused(finish(c, id, key)), /you come from 192\.0\.2\.1/);
    assert.equal(c.events.at(-1)?.code, "T1000W");
  });

  test("is over after five minutes", async () => {
    await using c = await cluster(config);
    await signUp(c, "joe");
    const { id } = await begin(c);
    await c.clock.advance(5 * minute);
    await refused(c.proxy["console_logins.get"]({ id }), "not_found");
    await refused(c.proxy["console_logins.challenge"]({ id, password, client_addr }), "not_found");
  });

  test("S67: begins for no other machine, and for no keys that are none", async () => {
    await using c = await cluster(config);
    for (const more of [
      { redirect_url: redirect_url.replace("127.0.0.1", "evil.example.com") },
      { redirect_url: "http://127.0.0.1:4242/callback" },
      { pub_key: "bm8ga2V5" },
    ])
      await refused(begin(c, more), "bad_parameter");
  });
});

suite("for whom security keys sign", () => {
  const proxy = (public_addr: string): ProxyServer =>
    ProxyServer.parse({
      kind: "proxy",
      version: "v2",
      metadata: { name: hostId },
      spec: { hostname: "px", public_addr },
    });

  test("the host of app_id, from pages of app_id, facets and proxies under it", () => {
    const u2f = {
      app_id: "https://proxy.example.com/app-id.json",
      facets: [
        "https://proxy.example.com:8443",
        "https://eu.proxy.example.com",
        "http://proxy.example.com",
        "https://evil.example.com",
        "https://notproxy.example.com",
        "android:apk-key-hash:x",
      ],
    };
    const proxies = ["proxy.example.com:3080", "us.proxy.example.com", "10.0.0.1:3080", "other.com:443"];
    assert.deepEqual(relyingParty(u2f, proxies.map(proxy)), {
      id: "proxy.example.com",
      origins: [
        "https://proxy.example.com",
        "https://proxy.example.com:8443",
        "https://eu.proxy.example.com",
        "https://proxy.example.com:3080",
        "https://us.proxy.example.com:3080",
      ],
    });
  });
});
