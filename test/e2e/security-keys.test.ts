import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { CDPSession, Page } from "playwright-core";
import { type Authority, fakeOpener, makeAuthority } from "../support/authority.ts";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { mustRun, type Ran, type RunOptions } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { accessibilityFaults } from "../web/axe.ts";
import { type Browser, openChromium, skip, type Visitor } from "../web/chromium.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";
import { programs } from "./daemon.ts";

const password = "correct horse battery";

suite("security keys before a real daemon", { skip: skip || skipUnless("openssl", "certutil") }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let browser: Browser;
  let authority: Authority;
  let folder: TempDir;
  let site: string;
  let joe: Visitor & { key: VirtualKey };

  before(async () => {
    await mustRun("sh", [join(import.meta.dirname, "../../scripts/build-web.sh")], { timeout: 120_000 });
    folder = stack.use(await tempDir());
    authority = await makeAuthority(folder);
    const webPort = await freePort();
    site = `localhost:${webPort}`;
    cluster = stack.use(
      await startCluster({
        webPort,
        // The authority is one of the machine's, as far as the daemon can see.
        command: ["env", `SSL_CERT_FILE=${authority.ca}`, programs.teleport],
        config: {
          auth_service: {
            authentication: {
              second_factor: "u2f",
              u2f: { app_id: `https://${site}`, facets: ["https://localhost", `https://${site}`] },
            },
          },
          proxy_service: {
            public_addr: [site],
            https_key_file: authority.key,
            https_cert_file: authority.cert,
          },
        },
      }),
    );
    browser = stack.use(await openChromium(`https://${site}`, authority.home));
  });
  after(() => stack.disposeAsync());

  async function person(): Promise<Visitor & { key: VirtualKey }> {
    const visitor = await browser.visit();
    return { ...visitor, key: await VirtualKey.plugIn(visitor.page) };
  }
  async function invitation(name: string): Promise<string> {
    const said = await cluster.mustTctl("users", "add", name, login);
    const [address = ""] = /https:\/\/\S+\/web\/newuser\/\w+/.exec(said) ?? [];
    assert.ok(address.startsWith(`https://${site}/web/newuser/`), said);
    return address;
  }
  async function signUp({ page }: Visitor, address: string, withSpare = false): Promise<void> {
    await page.goto(address);
    await page.getByRole("heading", { name: "Create your account" }).waitFor();
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Password again", { exact: true }).fill(password);
    if (withSpare) await page.getByLabel("Enrol a second key too").check();
    await page.getByRole("button", { name: "Create account with security key" }).click();
  }
  async function signIn({ page }: Visitor, user: string, pass = password): Promise<void> {
    await page.getByLabel("User name").fill(user);
    await page.getByLabel("Password", { exact: true }).fill(pass);
    await page.getByRole("button", { name: "Sign in with security key" }).click();
  }
  const signOut = ({ page }: Visitor): Promise<void> =>
    page.getByRole("button", { name: "Sign out" }).click();
  const inAs = ({ page }: Visitor, user: string): Promise<void> =>
    page.getByRole("heading", { name: `Signed in as ${user}` }).waitFor();
  const refusal = async ({ page }: Visitor, begins: string): Promise<string> => {
    const notice = page.getByRole("alert").filter({ hasText: begins });
    await notice.waitFor();
    return (await notice.innerText()).slice(begins.length + 2);
  };

  test("TP-05: sign up with a security key, and log in with it; wrong password, no key and a wrong key do not", async () => {
    joe = await person();
    const address = await invitation("joe");
    await joe.key.pullOut();
    await signUp(joe, address);
    await joe.page.getByRole("button", { name: "Touch your security key…" }).waitFor();
    const without = await cluster.web("/v1/webapi/users", {
      body: {
        invite_token: address.split("/").at(-1),
        user: "joe",
        pass: password,
        second_factor_token: "123456",
      },
    });
    assert.equal(without.status, 403);
    await joe.key.plugIn();
    await inAs(joe, "joe");
    const enrolled = await cluster.event("an enrolled key", ({ event }) => event === "user.key");
    assert.deepEqual([enrolled.code, enrolled.user], ["T4110I", "joe"]);
    await signOut(joe);

    await joe.page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.deepEqual(await accessibilityFaults(joe.page), []);
    await signIn(joe, "joe", "wrong");
    assert.equal(await refusal(joe, "Could not sign in"), "invalid username, password or second factor");
    await signIn(joe, "joe");
    await inAs(joe, "joe");
    await signOut(joe);

    // Somebody who knows the password and has a key of another account.
    const ann = await person();
    await signUp(ann, await invitation("ann"));
    await inAs(ann, "ann");
    await signOut(ann);
    await signIn(ann, "joe");
    assert.match(await refusal(ann, "Could not sign in"), /no security key of yours was touched/);
    await signIn(ann, "ann");
    await inAs(ann, "ann");

    assert.match(await cluster.mustTctl("users", "rm", "ann"), /ann/);
    await eventually("an end of the session", async () => {
      await ann.page.goto("/web");
      return ann.page.getByRole("heading", { name: "Sign in" }).isVisible();
    });
    await signIn(ann, "ann");
    assert.equal(await refusal(ann, "Could not sign in"), "invalid username, password or second factor");
    await ann.context.close();
  });

  test("TP-18: an invitation asks for a security key, counts once, and is gone when it has run out", async () => {
    const bob = await person();
    const address = await invitation("bob");
    await bob.page.goto(address);
    await bob.page.getByRole("heading", { name: "Create your account" }).waitFor();
    await bob.page.getByText("insert your security key and touch it").waitFor();
    assert.equal(await bob.page.getByRole("img", { name: "QR code" }).count(), 0);
    assert.deepEqual(await accessibilityFaults(bob.page), []);
    // With a second key in reserve, which is inserted when the first is done.
    let asked = 0;
    await bob.page.route("**/webauthn/signup", async (route) => {
      if (++asked === 2) {
        await bob.key.pullOut();
        await bob.key.plugIn();
      }
      await route.continue();
    });
    await signUp(bob, address, true);
    await inAs(bob, "bob");
    assert.equal(asked, 2);
    await signOut(bob);
    await signIn(bob, "bob");
    await inAs(bob, "bob");
    await bob.page.goto(address);
    await bob.page.getByRole("heading", { name: "Invite code has expired" }).waitFor();
    assert.deepEqual(
      bob.complaints.filter((line) => !/status of 404/.test(line)),
      [],
    );
    await bob.context.close();
  });

  test("a password is changed with the key, and a reset voids both", async () => {
    const eve = await person();
    await signUp(eve, await invitation("eve"));
    await inAs(eve, "eve");
    await eve.page.goto("/web/settings/account");
    await eve.page.getByLabel("Current password", { exact: true }).fill(password);
    await eve.page.getByLabel("New password", { exact: true }).fill("another password");
    await eve.page.getByLabel("New password again", { exact: true }).fill("another password");
    await eve.page.getByRole("button", { name: "Change password with security key" }).click();
    await eve.page.getByRole("heading", { name: "Your password is changed" }).waitFor();

    const said = await cluster.mustTctl("users", "reset", "eve");
    await eve.page.goto("/web/login");
    await signIn(eve, "eve", "another password");
    assert.equal(await refusal(eve, "Could not sign in"), "invalid username, password or second factor");
    await eve.page.goto(/https:\/\/\S+\/web\/reset\/\w+/.exec(said)?.[0] ?? "");
    await eve.page.getByLabel("Password", { exact: true }).fill(password);
    await eve.page.getByLabel("Password again", { exact: true }).fill(password);
    await eve.page.getByRole("button", { name: "Save and sign in with security key" }).click();
    await inAs(eve, "eve");
    await signOut(eve);
    await signIn(eve, "eve");
    await inAs(eve, "eve");
    await eve.context.close();
  });

  /** `tsh login` of somebody whose desktop opens pages. */
  async function tshLogin(more: readonly string[] = [], options: RunOptions = {}) {
    const opened = folder.at("opened");
    await rm(opened, { force: true });
    const bin = await fakeOpener(folder.at("bin", "xdg-open"), opened);
    const env = { SSL_CERT_FILE: authority.ca, PATH: `${bin}:${process.env.PATH}`, ...options.env };
    const proxy = `--proxy=${site},${cluster.ports.proxy}`;
    const ending = cluster.tsh(["login", proxy, "--user=joe", ...more], { ...options, env });
    const address = await Promise.race([
      eventually("an opened page", () => readFile(opened, "utf8").catch(() => undefined)),
      ending.then(({ err }) => assert.fail(`tsh ended: ${err}`)),
    ]);
    return { ending, address };
  }
  async function atPage(visitor: Visitor, address: string): Promise<void> {
    await visitor.page.goto(address);
    await visitor.page.getByRole("heading", { name: "Log in for your terminal" }).waitFor();
  }
  async function logInForTsh({ page }: Visitor, pass = password): Promise<void> {
    await page.getByLabel("Password", { exact: true }).fill(pass);
    await page.getByRole("button", { name: "Log in with security key" }).click();
  }
  const doneFor = ({ page }: Visitor): Promise<void> =>
    page.getByRole("heading", { name: "You are logged in" }).waitFor();

  test("TP-05: tsh login with a security key, on a page of the proxy, and then ssh", async () => {
    const { ending, address } = await tshLogin();
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{16}$/);
    await atPage(joe, address);
    assert.equal(new URL(joe.page.url()).host, site);
    assert.equal(await joe.page.getByLabel("User name").inputValue(), "joe");
    assert.deepEqual(await accessibilityFaults(joe.page), []);
    await logInForTsh(joe, "wrong");
    assert.equal(await refusal(joe, "Could not log in"), "invalid username, password or second factor");
    await logInForTsh(joe);
    await doneFor(joe);
    await joe.page.getByText("You can close this window").waitFor();
    const said: Ran = await ending;
    assert.equal(said.code, 0, said.err);
    assert.ok(said.err.includes(`  ${address}\n`), "the address is printed too");
    assert.doesNotMatch(said.out + said.err, /password/i);
    assert.match(said.out, /Logged in as: +joe/);
    const ssh = ["ssh", `${login}@testnode`, "echo from the node"];
    assert.equal(await cluster.mustTsh(ssh, { env: { SSL_CERT_FILE: authority.ca } }), "from the node\n");
    await cluster.mustTsh(["logout"]);
  });

  test("TSH-33: --bind-addr says where tsh waits, and what was not sealed for it does not end the waiting", async () => {
    const port = await freePort();
    const { ending, address } = await tshLogin([], {
      env: { TELEPORT_LOGIN_BIND_ADDR: `127.0.0.1:${port}` },
    });
    assert.equal(new URL(address).port, String(port));
    const forged = JSON.stringify({ ciphertext: btoa("x".repeat(40)), nonce: btoa("x".repeat(12)) });
    const refused = await fetch(`http://127.0.0.1:${port}/callback?response=${encodeURIComponent(forged)}`);
    assert.equal(refused.status, 400);
    await atPage(joe, address);
    await logInForTsh(joe);
    await doneFor(joe);
    assert.equal((await ending).code, 0);
    await cluster.mustTsh(["logout"]);
  });

  test("a page of a login that is over says so", async () => {
    await joe.page.goto(`/web/login/tsh/${"0".repeat(32)}`);
    await joe.page.getByRole("heading", { name: "This login cannot go on" }).waitFor();
    await joe.page.getByText("begin it anew in your terminal").waitFor();
  });

  test("AUTH-38: without a host name or a certificate that browsers trust tsh says so, and opens nothing", async () => {
    const bin = await fakeOpener(folder.at("bin", "xdg-open"), folder.at("opened"));
    await rm(folder.at("opened"), { force: true });
    const attempt = async (host: string, ...flags: string[]): Promise<string> => {
      const proxy = `--proxy=${host}:${cluster.ports.web},${cluster.ports.proxy}`;
      const { code, err } = await cluster.tsh(["login", proxy, "--user=joe", ...flags], {
        env: { PATH: `${bin}:${process.env.PATH}` },
      });
      assert.notEqual(code, 0);
      return err;
    };
    assert.match(
      await attempt("127.0.0.1", "--insecure"),
      new RegExp(`those of this cluster are for localhost, not for 127\\.0\\.0\\.1: use --proxy=${site}\n$`),
    );
    assert.match(
      await attempt("localhost", "--insecure"),
      /in the browser, which has to trust the proxy's certificate; that of localhost:\d+ does not verify/,
    );
    await assert.rejects(readFile(folder.at("opened")), /ENOENT/);
  });

  test("S72: no password and no sealing key is written down", async () => {
    const events = JSON.stringify(await cluster.events());
    for (const secret of [password, "secret_key"]) {
      assert.ok(!events.includes(secret), secret);
      assert.ok(!cluster.daemon.program.said.includes(secret), secret);
    }
  });
});

/** A security key of Chromium's own making, touched by whoever is asked. */
class VirtualKey {
  readonly #session: CDPSession;
  #id = "";

  private constructor(session: CDPSession) {
    this.#session = session;
  }

  static async plugIn(page: Page): Promise<VirtualKey> {
    const session = await page.context().newCDPSession(page);
    await session.send("WebAuthn.enable");
    const key = new VirtualKey(session);
    await key.plugIn();
    return key;
  }

  async plugIn(): Promise<void> {
    const { authenticatorId } = await this.#session.send("WebAuthn.addVirtualAuthenticator", {
      options: { protocol: "ctap2", transport: "usb", automaticPresenceSimulation: true },
    });
    this.#id = authenticatorId;
  }

  async pullOut(): Promise<void> {
    await this.#session.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId: this.#id });
  }
}
