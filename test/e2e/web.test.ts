import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { mustRun } from "../support/run.ts";
import { totp } from "../support/totp.ts";
import { type Browser, openChromium, skip, type Visitor } from "../web/chromium.ts";
import { type Cluster, login, startCluster } from "./cluster.ts";

suite("a person with a browser before a real daemon", { skip }, () => {
  const stack = new AsyncDisposableStack();
  const password = "correct horse battery";
  let cluster: Cluster;
  let browser: Browser;
  let app: Authenticator;

  before(async () => {
    await mustRun("sh", [join(import.meta.dirname, "../../scripts/build-web.sh")], { timeout: 120_000 });
    cluster = stack.use(await startCluster({ secondFactor: "otp" }));
    browser = stack.use(await openChromium(`https://127.0.0.1:${cluster.ports.web}`));
  });
  after(() => stack.disposeAsync());

  async function atLogin(): Promise<Visitor> {
    const visitor = await browser.visit();
    await visitor.page.goto("/");
    await visitor.page.getByRole("heading", { name: "Sign in" }).waitFor();
    return visitor;
  }
  async function attempt({ page }: Visitor, pass: string, code: string): Promise<void> {
    await page.getByLabel("User name").fill("alice");
    await page.getByLabel("Password", { exact: true }).fill(pass);
    await page.getByLabel("Two-factor code").fill(code);
    await page.getByRole("button", { name: "Sign in" }).click();
  }
  const inAsAlice = ({ page }: Visitor): Promise<void> =>
    page.getByRole("heading", { name: "Signed in as alice" }).waitFor();

  test("opens the address that tctl users add prints, takes seed and password, and is in", async () => {
    const said = await cluster.mustTctl("users", "add", "alice", login);
    const [address = ""] = /https:\/\/\S+\/web\/newuser\/\w+/.exec(said) ?? [];
    const { page, complaints, context } = await browser.visit();
    await page.goto(address);
    await page.getByRole("heading", { name: "Create your account" }).waitFor();
    assert.equal(await page.getByLabel("User name").inputValue(), "alice");
    const qr = page.getByRole("img", { name: "QR code for your authenticator app" });
    assert.ok(await qr.evaluate((img) => (img as unknown as { naturalWidth: number }).naturalWidth > 0));
    app = new Authenticator((await page.locator(".authenticator code").innerText()).replace(/\s/g, ""));
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Password again", { exact: true }).fill(password);
    await page.getByLabel("Two-factor code").fill(await app.code());
    await page.getByRole("button", { name: "Create account" }).click();
    await inAsAlice({ page, complaints, context });
    assert.equal(new URL(page.url()).pathname, "/web");
    const shown = await page.getByRole("definition").allInnerTexts();
    assert.deepEqual(shown, ["alice", "main", "admin", login]);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("is told of a wrong password in a sentence, and gets in by the right one", async () => {
    const visitor = await atLogin();
    // A code is used up only with the right password.
    const code = await app.code();
    await attempt(visitor, "wrong", code);
    const notice = visitor.page.getByRole("alert").filter({ hasText: "Could not sign in" });
    assert.equal(await notice.innerText(), "Could not sign in: invalid username, password or second factor");
    await attempt(visitor, password, code);
    await inAsAlice(visitor);
    assert.equal(
      await visitor.page.locator("#terminal ~ .copy code").innerText(),
      `tsh login --proxy=127.0.0.1:${cluster.ports.web} --user=alice`,
    );
    for (const success of [false, true]) {
      const { user, method } = await cluster.event(
        `a login, ${success}`,
        (event) => event.event === "user.login" && event.success === success,
      );
      assert.deepEqual([user, method], ["alice", "local"]);
    }
    await visitor.page.getByRole("button", { name: "Sign out" }).click();
    await visitor.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await visitor.page.goto("/web");
    await visitor.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await visitor.context.close();
  });

  test("then logs in with tsh and works on the node", async () => {
    const said = await cluster.mustTsh(["login", "--insecure", `--proxy=${cluster.proxy}`, "--user=alice"], {
      input: `${password}\n${await app.code()}\n`,
    });
    assert.match(said, /Logged in as: +alice/);
    assert.equal(
      await cluster.mustTsh(["ssh", `${login}@testnode`, "echo from the node"]),
      "from the node\n",
    );
  });
});

/** An authenticator app, whose owner waits for a new code where the last one was used. */
class Authenticator {
  readonly #seed: string;
  #last = 0;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** Good for the next seconds. A code of the period before or after counts too, which saves most of the waiting. */
  async code(): Promise<string> {
    const period = (later: number): number => Math.floor((Date.now() + later) / 30_000);
    // Whoever is handed the last period's code in its last seconds comes too late with it.
    this.#last = Math.max(this.#last + 1, period(12_000) - 1);
    return eventually(
      "the next code",
      () => this.#last <= period(0) + 1 && totp(this.#seed, this.#last - period(0)),
      { timeout: 40_000 },
    );
  }
}
