import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { Connector } from "#model";
import { parsePublicKeyLine } from "#ssh/keys";
import { type Github, startGithub } from "../../../test/support/github.ts";
import { type Cluster, cluster, publicKeys, role } from "../testing/cluster.ts";

const callback = "https://proxy.example.com/v1/webapi/github/callback";
const csrf_token = "ab".repeat(32);
const web = { type: "web", redirect_url: "/web/nodes", csrf_token } as const;

const connector = (github: Github, name: string, spec: object = {}): Connector =>
  Connector.parse({
    kind: "github",
    version: "v3",
    metadata: { name },
    spec: {
      ...github.client,
      redirect_url: callback,
      teams_to_logins: [{ organization: "octo", team: "admins", logins: ["root"] }],
      ...spec,
    },
  });

const octoAdmins = { slug: "admins", organization: { login: "octo" } };

/** A cluster with the connector `github`, and octocat in the team octo/admins. */
async function setting(spec: object = {}, alsoClear: string[] = []) {
  await using stack = new AsyncDisposableStack();
  const github = stack.use(await startGithub());
  github.teams = [{ organization: "octo", team: "admins" }];
  const clear = [github.url, ...alsoClear];
  const sso = { github: { web: github.url, api: `${github.url}/api/v3` }, clear };
  const c = stack.use(await cluster({ sso }));
  await c.admin["connectors.put"]({ connector: connector(github, "github", spec) });
  const open = stack.move();
  return { c, github, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

type Flow = Parameters<Cluster["proxy"]["sso.start"]>[0]["flow"];

/** What GitHub sends the browser back with. */
async function visit(c: Cluster, flow: Flow = web, name = "github"): Promise<string> {
  const { redirect_url } = await c.proxy["sso.start"]({ kind: "github", connector: name, flow });
  const response = await fetch(redirect_url, { redirect: "manual" });
  const location = response.headers.get("location") ?? "";
  assert.ok(location.startsWith(`${callback}?`), location);
  return new URL(location).search.slice(1);
}
const finish = (c: Cluster, query: string, more: object = {}) =>
  c.proxy["sso.finish"]({ kind: "github", query, csrf_token, client_addr: "192.0.2.7:5", ...more });
const logIn = async (c: Cluster, flow: Flow = web) => finish(c, await visit(c, flow));

const refusedWith = (got: Awaited<ReturnType<typeof finish>>): string => {
  assert.equal(got.type, "refused", JSON.stringify(got));
  return got.type === "refused" ? got.error : "";
};
/** What a browser holds of a session. */
const held = ({ user, id, bearer }: { user: string; id: string; bearer: string }) => ({ user, id, bearer });
const consoleFlow = async (ttl = 12 * hour): Promise<Flow> => {
  const { ssh, tls } = await publicKeys();
  return {
    type: "console",
    redirect_url: "http://127.0.0.1:1/callback",
    pub_key: ssh,
    tls_pub_key: tls,
    ttl,
  };
};

suite("logins by GitHub", () => {
  test("AUTH-63: all entries of one's teams are taken together, duplicates once; without roles it is admin", async () => {
    await using s = await setting({
      teams_to_logins: [
        {
          organization: "octo",
          team: "admins",
          logins: ["root", "ops"],
          kubernetes_groups: ["system:masters"],
        },
        { organization: "Octo", team: "dev", logins: ["ops", "dev"] },
        { organization: "octo", team: "board", logins: ["boss"] },
        { organization: "elsewhere", team: "admins", logins: ["other"] },
      ],
    });
    s.github.teams.push({ organization: "octo", team: "dev" });
    const done = await logIn(s.c);
    assert.equal(done.type, "web");
    const user = await s.c.admin["users.get"]({ name: "octocat" });
    assert.deepEqual(user.spec.roles, ["admin"]);
    assert.deepEqual(user.spec.traits, {
      logins: ["root", "ops", "dev"],
      kubernetes_groups: ["system:masters"],
    });
    assert.deepEqual(user.spec.created_by?.connector, { type: "github", id: "github", identity: "octocat" });
    assert.equal(user.spec.expires, new Date(s.c.clock.now() + 12 * hour).toISOString());
    if (done.type !== "web") return;
    assert.equal(done.redirect_url, "/web/nodes");
    const seen = await s.c.proxy["web_sessions.get"](held(done.session));
    assert.deepEqual(seen.logins, ["dev", "ops", "root"]);
    const events = s.c.events.filter(({ code }) => ["T1001I", "T1002I"].includes(code));
    assert.deepEqual(
      events.map(({ uid: _, time: __, ...event }) => ({ ...event, sid: undefined, expires: undefined })),
      [
        {
          ...{
            event: "user.update",
            code: "T1002I",
            namespace: "default",
            user: "octocat",
            roles: ["admin"],
          },
          ...{ connector: "github", sid: undefined, expires: undefined },
        },
        {
          ...{ event: "user.login", code: "T1001I", namespace: "default", user: "octocat", method: "github" },
          ...{ connector: "github", success: true, "addr.remote": "192.0.2.7:5" },
          ...{ sid: undefined, expires: undefined },
        },
      ],
    );
  });

  test("roles of an entry are the roles; one that is not there lets nobody in and makes nobody", async () => {
    const entry = { organization: "octo", team: "admins", logins: ["root"] };
    await using s = await setting({ teams_to_logins: [{ ...entry, roles: ["ops"] }] });
    assert.match(refusedWith(await logIn(s.c)), /role "ops" of user octocat does not exist/);
    assert.deepEqual(await s.c.admin["users.list"]({}), []);
    await s.c.admin["roles.put"]({ role: role("ops", { options: { max_session_ttl: "1h" } }) });
    assert.equal((await logIn(s.c)).type, "web");
    const { spec } = await s.c.admin["users.get"]({ name: "octocat" });
    assert.deepEqual(spec.roles, ["ops"]);
    assert.equal(spec.expires, new Date(s.c.clock.now() + hour).toISOString());
  });

  test("tsh gets certificates of the mapped logins, for as long as asked and no longer than the account", async () => {
    await using s = await setting();
    const done = await logIn(s.c, await consoleFlow(90 * minute));
    assert.ok(done.type === "console" && done.certs.cert !== undefined && done.certs.tls_cert);
    const { certificate } = parsePublicKeyLine(done.certs.cert).key;
    assert.deepEqual(certificate?.principals, ["root"]);
    const end = (s.c.clock.now() + 90 * minute) / 1000;
    assert.equal(Number(certificate?.validBefore), end);
    const user = await s.c.admin["users.get"]({ name: "octocat" });
    assert.equal(Date.parse(user.spec.expires ?? "") / 1000, end);
  });

  test("nobody is sent to log in for a key that cannot be certified", async () => {
    await using s = await setting();
    const flow = {
      ...(await consoleFlow()),
      pub_key: Buffer.from("ssh-rsa AAAA").toString("base64"),
    } as Flow;
    await assert.rejects(s.c.proxy["sso.start"]({ kind: "github", flow }), (err) =>
      Fault.is(err, "bad_parameter"),
    );
  });

  test("a short login does not end a longer one", async () => {
    await using s = await setting();
    await logIn(s.c);
    const { spec } = await s.c.admin["users.get"]({ name: "octocat" });
    await logIn(s.c, await consoleFlow(minute));
    assert.equal((await s.c.admin["users.get"]({ name: "octocat" })).spec.expires, spec.expires);
  });

  test("AUTH-62: teams are read page by page", async () => {
    await using s = await setting();
    s.github.teams = Array.from({ length: 250 }, (_, i) => ({ organization: "octo", team: `team-${i}` }));
    s.github.teams.push({ organization: "octo", team: "admins" });
    assert.equal((await logIn(s.c)).type, "web");
    assert.equal(s.github.asked.filter((path) => path.includes("/user/teams")).length, 3);
  });

  test("AUTH-62: after 99 pages it is enough", async () => {
    await using s = await setting();
    s.github.faults.teams = (_, response) => {
      response.setHeader("link", `<${s.github.url}/api/v3/user/teams?page=2>; rel="next"`);
      response.end(JSON.stringify([{ slug: "admins", organization: { login: "octo" } }]));
    };
    assert.equal((await logIn(s.c)).type, "web");
    assert.equal(s.github.asked.filter((path) => path.includes("/user/teams")).length, 99);
  });

  suite("AUTH-64: who belongs nowhere hears why", () => {
    for (const [why, teams, spec, said] of [
      ["no team is shown", [], {}, "list of user teams is empty, did you grant access?"],
      [
        "no team is mapped",
        [{ organization: "octo", team: "dev" }],
        {},
        'user "octocat" does not belong to any teams configured in "github" connector',
      ],
      [
        "nothing is mapped",
        [{ organization: "octo", team: "admins" }],
        { teams_to_logins: [] },
        'connector "github" has empty teams_to_logins mapping',
      ],
    ] as const) {
      test(why, async () => {
        await using s = await setting(spec);
        s.github.teams = [...teams];
        assert.equal(refusedWith(await logIn(s.c)), said);
        assert.deepEqual(await s.c.admin["users.list"]({}), []);
        const failed = s.c.events.find(({ code }) => code === "T1001W");
        assert.equal(failed?.code === "T1001W" ? failed.error : "", said);
      });
    }
  });

  test("S24: a local user of the name stays what it is, and so does one of another connector", async () => {
    await using s = await setting();
    await s.c.signUp("octocat");
    assert.equal(refusedWith(await logIn(s.c)), 'user "octocat" already exists and is not Github user');
    s.github.user = "hubot";
    await logIn(s.c);
    await s.c.admin["connectors.put"]({ connector: connector(s.github, "second") });
    const other = await finish(s.c, await visit(s.c, web, "second"));
    assert.match(refusedWith(other), /"hubot" already exists and logs in by the connector "github"/);
  });

  test("S24: a password that a local account left behind does not open an account of GitHub", async () => {
    await using s = await setting();
    await s.c.signUp("octocat");
    const soon = new Date(s.c.clock.now() + minute).toISOString();
    const local = await s.c.admin["users.get"]({ name: "octocat" });
    await s.c.admin["users.put"]({ user: { ...local, spec: { ...local.spec, expires: soon } }, force: true });
    await s.c.clock.advance(2 * minute);
    assert.equal((await logIn(s.c)).type, "web");
    await assert.rejects(s.c.proxy["logins.web"]({ user: "octocat", password: "correct horse" }), (err) =>
      Fault.is(err, "access_denied"),
    );
  });

  test("S45: who left a team has its logins no more, neither in a session of before nor in a new one", async () => {
    await using s = await setting({
      teams_to_logins: [
        { organization: "octo", team: "admins", logins: ["root"], roles: ["admin"] },
        { organization: "octo", team: "dev", logins: ["dev"], roles: ["few"] },
      ],
    });
    await s.c.admin["roles.put"]({ role: role("few", { allow: { logins: ["{{internal.logins}}"] } }) });
    const before = await logIn(s.c);
    s.github.teams = [{ organization: "octo", team: "dev" }];
    await logIn(s.c, await consoleFlow());
    const { spec } = await s.c.admin["users.get"]({ name: "octocat" });
    assert.deepEqual([spec.roles, spec.traits.logins], [["few"], ["dev"]]);
    assert.ok(before.type === "web");
    const { logins } = await s.c.proxy["web_sessions.get"](held(before.session));
    assert.deepEqual(logins, ["dev"]);
  });

  test("S46: an administrator's lock ends the sessions, keeps out, and does not go away with the account's time", async () => {
    await using s = await setting();
    const done = await logIn(s.c);
    assert.ok(done.type === "web");
    const user = await s.c.admin["users.get"]({ name: "octocat" });
    const locked = { ...user, spec: { ...user.spec, status: { is_locked: true } } };
    await s.c.admin["users.put"]({ user: locked, force: true });
    await assert.rejects(s.c.proxy["web_sessions.get"](held(done.session)), /is over/);
    assert.match(refusedWith(await logIn(s.c)), /the account octocat is locked/);
    await s.c.clock.advance(48 * hour);
    assert.match(refusedWith(await logIn(s.c)), /the account octocat is locked/);
  });

  test("the session and the account end with the login's time", async () => {
    await using s = await setting();
    const done = await logIn(s.c);
    assert.ok(done.type === "web");
    await s.c.clock.advance(12 * hour);
    await assert.rejects(s.c.proxy["web_sessions.get"](held(done.session)), /is over/);
    assert.deepEqual(await s.c.admin["users.list"]({}), []);
  });
});

suite("a login at GitHub that somebody tampers with", () => {
  const unknown = (err: unknown): boolean => Fault.is(err, "not_found") && /never begun/.test(err.message);

  test("a state counts once, also when the login was refused", async () => {
    await using s = await setting();
    const query = await visit(s.c);
    assert.equal((await finish(s.c, query)).type, "web");
    await assert.rejects(finish(s.c, query), unknown);
    const refused = await visit(s.c);
    assert.equal((await finish(s.c, refused, { csrf_token: "" })).type, "refused");
    await assert.rejects(finish(s.c, refused), unknown);
  });

  test("of two answers with one state one is taken", async () => {
    await using s = await setting();
    const query = await visit(s.c);
    const ends = await Promise.allSettled([finish(s.c, query), finish(s.c, query)]);
    assert.deepEqual(ends.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  });

  test("a state of ten minutes ago, an invented one, none, and one for the other callback are refused and audited", async () => {
    await using s = await setting();
    const late = await visit(s.c);
    await s.c.clock.advance(10 * minute);
    await assert.rejects(finish(s.c, late), unknown);
    for (const query of ["", "code=x&state=", `code=x&state=${"0".repeat(32)}`])
      await assert.rejects(finish(s.c, query), unknown);
    await assert.rejects(finish(s.c, await visit(s.c), { kind: "oidc" }), unknown);
    assert.equal(s.c.events.filter(({ code }) => code === "T1001W").length, 5);
  });

  test("CSRF: the browser that comes back must be the one that began", async () => {
    await using s = await setting();
    for (const other of ["", "cd".repeat(32)])
      assert.match(
        refusedWith(await finish(s.c, await visit(s.c), { csrf_token: other })),
        /another browser/,
      );
    assert.deepEqual(await s.c.admin["users.list"]({}), []);
  });

  test("a code of somebody else's login does not fit to this one's verifier (PKCE)", async () => {
    await using s = await setting();
    const [mine, theirs] = [await visit(s.c), await visit(s.c)].map((query) => new URLSearchParams(query));
    mine?.set("code", theirs?.get("code") ?? "");
    assert.match(refusedWith(await finish(s.c, String(mine))), /did not accept the login/);
  });

  test("what GitHub says in place of a code is told", async () => {
    await using s = await setting();
    const query = new URLSearchParams(await visit(s.c));
    query.delete("code");
    query.set("error", "access_denied");
    assert.match(refusedWith(await finish(s.c, query.toString())), /refused the login: access_denied$/);
  });

  test("without the connector, or with another kind's name, there is nothing to begin", async () => {
    await using s = await setting();
    const begin = (kind: "github" | "oidc", name?: string) =>
      s.c.proxy["sso.start"]({ kind, flow: web, ...(name !== undefined && { connector: name }) });
    await assert.rejects(begin("github", "corp"), /no github connector "corp"/);
    await assert.rejects(begin("oidc", "github"), /no oidc connector "github"/);
    await assert.rejects(begin("oidc"), /has no oidc connector; an administrator makes one with tctl create/);
    assert.match((await begin("github")).redirect_url, /client_id=Iv1/);
  });

  suite("a GitHub that answers badly lets nobody in, and its answer is no user's to read", () => {
    for (const [why, fault] of [
      ["nonsense", (s) => (s.github.faults.user = (_, response) => void response.end("<html>"))],
      ["no login", (s) => (s.github.faults.user = (_, response) => void response.end('{"id":1}'))],
      ["an error", (s) => (s.github.faults.teams = (_, response) => void response.writeHead(502).end("[]"))],
      [
        "an answer of two megabytes, though it makes sense",
        (s) => {
          s.github.faults.teams = (_, response) =>
            void response.end(JSON.stringify([octoAdmins]) + " ".repeat(2 * 1024 * 1024));
        },
      ],
      [
        "a redirect elsewhere",
        (s) => {
          s.github.faults.user = (_, response) =>
            void response.writeHead(302, { location: `${s.github.url}/login/oauth/authorize` }).end();
        },
      ],
    ] as [string, (s: { github: Github }) => void][]) {
      test(why, async () => {
        await using s = await setting();
        fault(s);
        assert.match(refusedWith(await logIn(s.c)), /connector "github" does not answer as it should/);
        assert.deepEqual(await s.c.admin["users.list"]({}), []);
      });
    }

    test("one whose next page is on another host, which would get our token", async () => {
      await using other = await startGithub();
      await using s = await setting({}, [other.url]);
      s.github.faults.teams = (_, response) => {
        response.setHeader("link", `<${other.url}/api/v3/user/teams>; rel="next"`);
        response.end(JSON.stringify([octoAdmins]));
      };
      assert.match(refusedWith(await logIn(s.c)), /does not answer as it should/);
      assert.deepEqual(other.asked, []);
    });

    test("one that is slow is given up after 20 s", async () => {
      await using s = await setting();
      const { promise: reached, resolve } = Promise.withResolvers<void>();
      s.github.faults.teams = () => resolve();
      const query = await visit(s.c);
      const ended = finish(s.c, query);
      await reached;
      await s.c.clock.advance(20_000);
      assert.match(refusedWith(await ended), /does not answer as it should/);
    });

    test("one without TLS is not asked at all", async () => {
      await using github = await startGithub();
      const at = { web: github.url, api: `${github.url}/api/v3` };
      await using c = await cluster({ sso: { github: at } });
      await c.admin["connectors.put"]({ connector: connector(github, "github") });
      assert.match(refusedWith(await finish(c, await visit(c))), /does not answer as it should/);
      assert.deepEqual(github.asked, []);
    });
  });

  test("S72: neither the client's secret, nor a code, a state or a token is in an event, the log or an answer", async () => {
    await using s = await setting();
    const query = await visit(s.c);
    const { code, state } = Object.fromEntries(new URLSearchParams(query));
    const done = await finish(s.c, query);
    s.github.faults.user = (_, response) => void response.writeHead(500).end("planted");
    const failed = await logIn(s.c);
    const seen = JSON.stringify([done, failed, s.c.events, s.c.log, await s.c.admin["users.list"]({})]);
    for (const secret of [s.github.client.client_secret, code, state, "gho_", "planted"])
      assert.ok(secret !== undefined && !seen.includes(secret), `${secret} is in ${seen}`);
    assert.ok(seen.includes("status 500"));
  });
});

suite("S23: with local accounts switched off", () => {
  test("no password, code, invitation or change of a password lets anybody in; the connector does", async () => {
    const preference = { type: "github", second_factor: "off", local_auth: false } as const;
    await using github = await startGithub();
    github.teams = [{ organization: "octo", team: "admins" }];
    const sso = { github: { web: github.url, api: `${github.url}/api/v3` }, clear: [github.url] };
    await using before = await cluster({ sso });
    await before.signUp("joe");
    const invited = await before.admin["signups.create"]({
      user: "eve",
      roles: ["admin"],
      traits: {},
      ttl: hour,
    });
    await before.admin["connectors.put"]({ connector: connector(github, "github") });
    await using c = await cluster({ sso, preference }, before);
    const { ssh } = await publicKeys();
    const joe = { user: "joe", password: "correct horse" };
    for (const attempt of [
      () => c.proxy["logins.web"](joe),
      () => c.proxy["logins.certs"]({ ...joe, pub_key: ssh, ttl: hour }),
      () => c.proxy["users.change_password"]({ ...joe, new_password: "battery staple" }),
      () => c.proxy["signups.get"]({ token: invited.token }),
      () => c.proxy["signups.complete"]({ token: invited.token, password: "correct horse" }),
      () => c.admin["signups.create"]({ user: "ann", traits: {}, ttl: hour }),
    ])
      await assert.rejects(attempt(), /logins with a local password are switched off/);
    assert.equal((await logIn(c)).type, "web");
  });
});
