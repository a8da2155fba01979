import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { Fault } from "#core/errors";
import { openSite, type Site, skip } from "./browser.ts";
import { totp } from "./totp.ts";

suite("signing in with a browser", { skip }, () => {
  let site: Site;
  let seed: string;
  before(async () => {
    site = await openSite();
    ({ seed } = site.auth.add("alice", "correct horse"));
  });
  after(() => site[Symbol.asyncDispose]());

  const code = (): string => totp(seed, site.clock.now());

  async function at(path: string) {
    const visitor = await site.visit();
    await visitor.page.goto(path);
    await visitor.page.getByRole("heading", { name: "Sign in" }).waitFor();
    const { page } = visitor;
    const attempt = async (password: string, digits: string): Promise<void> => {
      await page.getByLabel("User name").fill("alice");
      await page.getByLabel("Password", { exact: true }).fill(password);
      await page.getByLabel("Two-factor code").fill(digits);
      await page.getByRole("button", { name: "Sign in" }).click();
    };
    return { ...visitor, attempt };
  }

  test("/ leads to the login page, and the login to the start page", async () => {
    const { page, context, attempt, complaints } = await at("/");
    assert.equal(new URL(page.url()).pathname, "/web/login");
    assert.equal(await page.title(), "Sign in · Teleport");
    await attempt("correct horse", code());
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    assert.equal(new URL(page.url()).pathname, "/web");
    assert.deepEqual(await page.getByRole("definition").allInnerTexts(), [
      "alice",
      "main",
      "admin\ndba",
      "root\npostgres",
    ]);
    const line = await page.locator("#terminal ~ .copy code").innerText();
    assert.equal(line, `tsh login --proxy=${new URL(site.url).host} --user=alice`);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("a wrong password is announced, takes the focus back and can be mended", async () => {
    const { page, context, attempt } = await at("/web/login");
    await attempt("wrong", code());
    const notice = page.getByRole("alert").filter({ hasText: "Could not sign in" });
    assert.equal(await notice.innerText(), "Could not sign in: invalid username, password or second factor");
    assert.equal(await page.evaluate("document.activeElement.name"), "password");
    await attempt("correct horse", code());
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    await context.close();
  });

  test("an empty field is named, tied to its complaint and focused; nothing is sent", async () => {
    const { page, context } = await at("/web/login");
    const before = site.auth.logins.length;
    await page.getByLabel("User name").fill("alice");
    await page.getByRole("button", { name: "Sign in" }).click();
    const password = page.getByLabel("Password", { exact: true });
    await page.getByText("Enter your password").waitFor();
    assert.equal(await password.getAttribute("aria-invalid"), "true");
    const described = (await password.getAttribute("aria-describedby")) ?? "";
    assert.equal(await page.locator(`[id="${described}"]`).innerText(), "Enter your password");
    assert.equal(await page.evaluate("document.activeElement.name"), "password");
    assert.equal(site.auth.logins.length, before);
    await context.close();
  });

  test("who came for another page gets there, search and all", async () => {
    const { page, context, attempt } = await at(
      `/web/login?redirect_uri=${encodeURIComponent("/web/nodes?q=db")}`,
    );
    await attempt("correct horse", code());
    await page.waitForURL(`${site.url}/web/nodes?q=db`);
    await context.close();
  });

  for (const target of [
    "//evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "https://evil.example/web",
  ]) {
    test(`S67: a link that would lead to ${target} leads to the start page`, async () => {
      const { page, context, attempt } = await at(`/web/login?redirect_uri=${encodeURIComponent(target)}`);
      await attempt("correct horse", code());
      await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
      assert.equal(page.url(), `${site.url}/web`);
      await context.close();
    });
  }

  test("the keyboard alone signs in, and out again", async () => {
    const { page, context } = await at("/web/login");
    const focused = (): Promise<unknown> =>
      page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).innerText");
    const tabTo = async (name: string): Promise<void> => {
      await page.keyboard.press("Tab");
      assert.equal(await focused(), name);
    };
    await tabTo("User name");
    await page.keyboard.type("alice");
    await tabTo("Password");
    await page.keyboard.type("correct horse");
    await tabTo("Show");
    await tabTo("Two-factor code");
    await page.keyboard.type(code());
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    assert.equal(await focused(), "Signed in as alice");
    await tabTo("Change password");
    await tabTo("Copy");
    for (let i = 0; i < 2; i++) await page.keyboard.press("Shift+Tab");
    assert.equal(await focused(), "Sign out");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await context.close();
  });

  test("signing out ends the session for the proxy, for this tab and for the next", async () => {
    const { page, context, attempt } = await at("/web/login");
    await attempt("correct horse", code());
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    const second = await context.newPage();
    await second.goto("/web");
    await second.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    const live = site.auth.live;
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.equal(site.auth.live, live - 1);
    assert.deepEqual(
      (await context.cookies()).filter(({ name }) => name === "session"),
      [],
    );
    await second.getByRole("heading", { name: "Sign in" }).waitFor();
    await context.close();
  });

  test("a session that the cluster has ended leads to the login page", async () => {
    const { page, context, attempt } = await at("/web/login");
    await attempt("correct horse", code());
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    await context.clearCookies({ name: "session" });
    await page.reload();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await context.close();
  });

  test("scripts of the page cannot read either cookie", async () => {
    const { page, context, attempt } = await at("/web/login");
    await attempt("correct horse", code());
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    assert.equal(await page.evaluate("document.cookie"), "");
    assert.deepEqual(
      (await context.cookies()).map(({ name, httpOnly, secure, sameSite }) => ({
        name,
        httpOnly,
        secure,
        sameSite,
      })),
      [
        { name: "grv_csrf", httpOnly: true, secure: true, sameSite: "Lax" },
        { name: "session", httpOnly: true, secure: true, sameSite: "Strict" },
      ],
    );
    await context.close();
  });

  test("while auth is away the page says so and offers another try", async () => {
    const { page, context } = await site.visit();
    site.auth.down = new Fault("unreachable", "the auth service does not answer");
    await page.goto("/web/login");
    await page.getByRole("heading", { name: "Sign-in is not possible right now" }).waitFor();
    assert.equal(await page.getByRole("alert").innerText(), "the auth service does not answer");
    site.auth.down = undefined;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await context.close();
  });
});
