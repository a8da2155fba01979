import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { selfSigned } from "../self-signed.ts";
import { browse } from "../support/browse.ts";
import { type Github, startGithub } from "../support/github.ts";
import { fetchOwn } from "../support/https.ts";
import { type OidcProvider, startOidc } from "../support/oidc.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { mustRun } from "../support/run.ts";
import { Terminal } from "../support/terminal.ts";
import { type Browser, openChromium, skip, type Visitor } from "../web/chromium.ts";
import { type Cluster, login, password, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";

suite("people whose accounts are at GitHub, or at a company's own provider", { skip }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let github: Github;
  let oidc: OidcProvider;
  let browser: Browser;
  let callback: (kind: string) => string;

  before(async () => {
    await mustRun("sh", [join(import.meta.dirname, "../../scripts/build-web.sh")], { timeout: 120_000 });
    const tls = selfSigned();
    github = stack.use(await startGithub(tls));
    github.user = "octocat";
    github.teams = [{ organization: "octocats", team: "admins" }];
    let trust = "";
    const webPort = await freePort();
    callback = (kind) => `https://127.0.0.1:${webPort}/v1/webapi/${kind}/callback`;
    oidc = stack.use(await startOidc({ redirectUrl: callback("oidc"), tls }));
    cluster = stack.use(
      await startCluster({
        prepare: async (folder) => {
          trust = folder.at("providers.pem");
          await writeFile(trust, tls.cert);
        },
        webPort,
        config: {
          auth_service: { authentication: { type: "github", second_factor: "off" } },
          proxy_service: { web_listen_addr: `127.0.0.1:${webPort}` },
        },
        get command() {
          return ["env", `SSL_CERT_FILE=${trust}`, `TELEPORT_GITHUB_URL=${github.url}`, programs.teleport];
        },
      }),
    );
    browser = stack.use(await openChromium(`https://127.0.0.1:${webPort}`));
  });
  after(() => stack.disposeAsync());

  const create = async (resource: object, name: string): Promise<string> => {
    const file = cluster.folder.at(name);
    await writeFile(file, stringify(resource));
    return cluster.mustTctl("create", "-f", file);
  };
  const githubConnector = () => ({
    kind: "github",
    version: "v3",
    metadata: { name: "github" },
    spec: {
      ...github.client,
      display: "Octocats & Co",
      redirect_url: callback("github"),
      teams_to_logins: [
        {
          organization: "octocats",
          team: "admins",
          logins: [login, "octo"],
          kubernetes_groups: ["system:masters"],
        },
      ],
    },
  });
  /** A `tsh login` under way, and the address that it shows. */
  const begin = async (stack: AsyncDisposableStack, ...args: string[]): Promise<[Program, string]> => {
    const program = stack.use(
      await Program.start(
        programs.tsh,
        ["login", "--insecure", `--proxy=${cluster.proxy}`, ...args],
        // No browser opens: nobody has one here.
        { env: { ...quiet, HOME: cluster.home, PATH: "/nowhere" } },
      ),
    );
    const [address] = await program.line(/http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{16}/);
    return [program, address];
  };
  const atLogin = async (path = "/"): Promise<Visitor> => {
    const visitor = await browser.visit();
    await visitor.page.goto(path);
    await visitor.page.getByRole("heading", { name: "Sign in" }).waitFor();
    return visitor;
  };
  const inAs = (name: string, { page }: Visitor): Promise<void> =>
    page.getByRole("heading", { name: `Signed in as ${name}` }).waitFor();

  test("ACC-40: ping says github; without a connector everybody hears what is missing", async () => {
    const { auth } = (await cluster.web("/webapi/ping")).json() as { auth: object };
    assert.deepEqual(auth, { type: "github", second_factor: "off" });
    const ran = await cluster.tsh(["login", "--insecure", `--proxy=${cluster.proxy}`]);
    assert.equal(ran.code, 1);
    assert.match(ran.err, /it has no github connector yet; an administrator makes one with: tctl create/);
    const unknown = await cluster.tsh(["login", "--insecure", `--proxy=${cluster.proxy}`, "--auth=corp"]);
    assert.match(unknown.err, /invalid connector name "corp"/);
    const { page, context } = await atLogin();
    await page.getByText("no connector to it is there yet").waitFor();
    await context.close();
  });

  test("ACC-42: tctl create github.yaml; its button is on the login page, and tsh login --auth=github works", async () => {
    const said = await create(githubConnector(), "github.yaml");
    assert.match(said, /authentication connector "github" has been created/);
    const ping = (await cluster.web("/webapi/ping")).json() as { auth: object };
    assert.deepEqual(ping.auth, {
      type: "github",
      second_factor: "off",
      github: { name: "github", display: "Octocats & Co" },
    });
    const { page, context } = await atLogin();
    assert.equal(await page.getByRole("link", { name: "Sign in with Octocats & Co" }).count(), 1);
    await context.close();

    await using programs = new AsyncDisposableStack();
    const [tsh, address] = await begin(programs, "--auth=github");
    const end = await browse(address, "http://127.0.0.1:", { least: 2 });
    assert.match((await fetchOwn(end)).text, /You are logged in/);
    assert.equal(await tsh.ended(), 0);
    assert.match(tsh.said, /Logging in by Octocats & Co/);
    assert.match(tsh.said, /Logged in as: +octocat/);
  });

  test("ACC-41: the team's logins and groups are the person's, on machines too", async () => {
    const status = JSON.parse(await cluster.mustTsh(["status", "--format=json"])) as [
      { user: string; logins: string[]; roles: string[] },
    ];
    assert.equal(status[0].user, "octocat");
    assert.deepEqual(status[0].logins, [...new Set([login, "octo"])].sort());
    assert.deepEqual(status[0].roles, ["admin"]);
    const user = await cluster.mustTctl("get", "user/octocat", "--format=json");
    for (const said of ["system:masters", '"type": "github"', '"identity": "octocat"'])
      assert.ok(user.includes(said) || user.includes(said.replace(": ", ":")), `${said} is not in ${user}`);
    assert.equal(await cluster.mustTsh(["ssh", `${login}@testnode`, "echo", "hello"]), "hello\n");
    const event = await cluster.event(
      "the login",
      ({ event, user }) => event === "user.login" && user === "octocat",
    );
    assert.deepEqual([event.code, event.method, event.success], ["T1001I", "github", true]);
  });

  test("TSH-14: a command at a terminal asks for a login that is missing, by the connector of the last time", async () => {
    await rm(join(cluster.home, ".tsh", "keys"), { recursive: true });
    const env = { ...quiet, HOME: cluster.home, PATH: "/nowhere" };
    await using terminal = new Terminal(programs.tsh, ["--insecure", "ls"], { env });
    const [address] = await terminal.sees(/http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{16}/);
    await fetchOwn(await browse(address, "http://127.0.0.1:", { least: 2 }));
    await terminal.sees(/testnode/);
    assert.equal(await terminal.ended(), 0);
  });

  test("a person of no team is told so in the terminal and on the page, and stays out", async () => {
    github.user = "hubot";
    github.teams = [{ organization: "octocats", team: "guests" }];
    try {
      await using programs = new AsyncDisposableStack();
      const [tsh, address] = await begin(programs, "--auth=github", "--user=hubot");
      const end = await browse(address, "http://127.0.0.1:", { least: 2 });
      assert.match((await fetchOwn(end)).text, /You are not logged in/);
      assert.equal(await tsh.ended(), 1);
      assert.match(tsh.said, /user "hubot" does not belong to any teams configured in "github" connector/);
      const visitor = await atLogin();
      await visitor.page.getByRole("link", { name: /Octocats/ }).click();
      await visitor.page.getByRole("heading", { name: "Could not sign in" }).waitFor();
      await visitor.page.getByText('user "hubot" does not belong to any teams').waitFor();
      assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /hubot/);
      await visitor.context.close();
    } finally {
      github.user = "octocat";
      github.teams = [{ organization: "octocats", team: "admins" }];
    }
  });

  test("TP-05: users log in with GitHub, in the browser; who changes their mind is told so", async () => {
    github.asks = true;
    const visitor = await atLogin();
    const { page, context, complaints } = visitor;
    await page.getByRole("link", { name: "Sign in with Octocats & Co" }).click();
    await page.getByRole("link", { name: "Cancel" }).click();
    await page.getByText("the identity provider refused the login: access_denied").waitFor();
    await page.getByRole("link", { name: "Back to the login page" }).click();
    await page.getByRole("link", { name: "Sign in with Octocats & Co" }).click();
    await page.getByRole("link", { name: "Authorize" }).click();
    await inAs("octocat", visitor);
    assert.equal(new URL(page.url()).pathname, "/web");
    assert.equal(
      await page.locator("#terminal ~ .copy code").innerText(),
      `tsh login --proxy=127.0.0.1:${cluster.ports.web} --auth=github`,
    );
    await page.reload();
    await inAs("octocat", visitor);
    const held = await context.cookies();
    assert.deepEqual(held.map(({ name }) => name).sort(), ["grv_csrf", "session"].sort());
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    github.asks = false;
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("TP-05: users log in with OIDC, in the browser and with tsh, beside GitHub and passwords", async () => {
    await create(
      {
        kind: "oidc",
        version: "v2",
        metadata: { name: "corp" },
        spec: {
          issuer_url: oidc.issuer,
          ...oidc.client,
          redirect_url: callback("oidc"),
          display: "the company",
          scope: ["groups"],
          claims_to_roles: [{ claim: "groups", value: "dev*", roles: ["dev"] }],
        },
      },
      "oidc.yaml",
    );
    await create(
      {
        kind: "role",
        version: "v3",
        metadata: { name: "dev" },
        spec: { allow: { logins: [login, "{{external.department}}"] } },
      },
      "role.yaml",
    );
    oidc.account = { ...oidc.account, groups: ["developers"], department: "sales" };
    oidc.asks = true;
    const visitor = await atLogin();
    await visitor.page.getByRole("link", { name: "Sign in with the company" }).click();
    await visitor.page.getByRole("link", { name: "Continue" }).click();
    await inAs("alice@example.com", visitor);
    const shown = await visitor.page.getByRole("definition").allInnerTexts();
    assert.deepEqual(shown.slice(0, 3), ["alice@example.com", "main", "dev"]);
    // The same browser for tsh: the provider knows its person by now.
    await using programs = new AsyncDisposableStack();
    const [tsh, address] = await begin(programs, "--auth=corp");
    await visitor.page.goto(address);
    await visitor.page.getByText("You are logged in").waitFor();
    assert.equal(await tsh.ended(), 0);
    assert.match(tsh.said, /Logged in as: +alice@example\.com/);
    assert.match(tsh.said, /sales/);
    await visitor.context.close();

    assert.equal(await cluster.mustTsh(["ssh", `${login}@testnode`, "echo", "hi"]), "hi\n");
    await cluster.makeUser("joe");
    const local = await cluster.mustTsh(
      ["login", "--insecure", `--proxy=${cluster.proxy}`, "--auth=local", "--user=joe"],
      { input: `${password}\n` },
    );
    assert.match(local, /Logged in as: +joe/);
  });

  test("TP-20: redirect to login and back to the page, by a provider and by a password", async () => {
    const path = "/web?q=%3Cb%3E&sort=name";
    const visitor = await atLogin(path);
    assert.equal(new URL(visitor.page.url()).pathname, "/web/login");
    await visitor.page.getByRole("link", { name: "Sign in with Octocats & Co" }).click();
    await inAs("octocat", visitor);
    assert.ok(visitor.page.url().endsWith(path), visitor.page.url());
    await visitor.context.close();
    const other = await atLogin(path);
    await other.page.getByLabel("User name").fill("joe");
    await other.page.getByLabel("Password", { exact: true }).fill(password);
    await other.page.getByRole("button", { name: "Sign in" }).click();
    await inAs("joe", other);
    assert.ok(other.page.url().endsWith(path), other.page.url());
    await other.context.close();
  });

  test("S46: a lock ends the sessions of who came by a provider within 5 s, and keeps them out", async () => {
    const visitor = await atLogin();
    await visitor.page.getByRole("link", { name: "Sign in with Octocats & Co" }).click();
    await inAs("octocat", visitor);
    const user = JSON.parse(await cluster.mustTctl("get", "user/octocat", "--format=json")) as
      | { spec: { status: object } }
      | { spec: { status: object } }[];
    const found = Array.isArray(user) ? user[0] : user;
    assert.ok(found);
    found.spec.status = { is_locked: true };
    await create(found, "locked.yaml");
    const refused = await visitor.page.evaluate(async () => {
      const { token } = JSON.parse(localStorage.getItem("teleport.session") ?? "") as { token: string };
      const answer = await fetch("/webapi/user/status", { headers: { authorization: `Bearer ${token}` } });
      return [answer.status, (await answer.json()) as unknown];
    });
    assert.deepEqual(refused, [403, { message: "the web session is over; log in again" }]);
    await visitor.context.close();
    const again = await atLogin();
    await again.page.getByRole("link", { name: /Octocats/ }).click();
    await again.page.getByText("the account octocat is locked").waitFor();
    await again.context.close();
  });

  test("S72: no secret of a connector, code or token is in the daemon's log or the audit log", async () => {
    const seen = cluster.daemon.program.said + JSON.stringify(await cluster.events());
    for (const secret of [
      github.client.client_secret,
      oidc.client.client_secret,
      "gho_",
      "secret_key",
      "code=",
    ])
      assert.ok(!seen.includes(secret), secret);
  });
});
