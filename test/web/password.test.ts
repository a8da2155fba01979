import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Page } from "playwright-core";
import { minute } from "#core/clock";
import { accessibilityFaults } from "./axe.ts";
import { openSite, type Site, skip } from "./browser.ts";
import { totp } from "./totp.ts";

suite("a password with a browser", { skip }, () => {
  let site: Site;
  let seed: string;
  before(async () => {
    site = await openSite();
    ({ seed } = site.auth.add("alice", "correct horse"));
  });
  after(() => site[Symbol.asyncDispose]());

  const code = (): string => totp(seed, site.clock.now());

  async function signIn(password: string) {
    const visitor = await site.visit();
    const { page } = visitor;
    await page.goto("/web");
    await page.getByLabel("User name").fill("alice");
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Two-factor code").fill(code());
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    return visitor;
  }
  const fill = async (page: Page, old: string, first: string, second: string, digits: string) => {
    await page.getByLabel("Current password", { exact: true }).fill(old);
    await page.getByLabel("New password", { exact: true }).fill(first);
    await page.getByLabel("New password again", { exact: true }).fill(second);
    await page.getByLabel("Two-factor code").fill(digits);
    await page.getByRole("button", { name: "Change password" }).click();
  };

  test("is changed on the account page; other browsers are signed out, this one is not", async () => {
    const other = await signIn("correct horse");
    const { page, context, complaints } = await signIn("correct horse");
    await page.getByRole("link", { name: "Change password" }).click();
    await page.getByRole("heading", { name: "Change password" }).waitFor();
    assert.equal(new URL(page.url()).pathname, "/web/settings/account");
    assert.deepEqual(await accessibilityFaults(page), []);
    await fill(page, "correct horse", "neuer Schlüssel", "neuer Schlüssel 2", code());
    await page.getByText("The two passwords are not the same").waitFor();
    assert.equal(await page.evaluate("document.activeElement.name"), "again");
    await fill(page, "correct horse", "neuer Schlüssel", "neuer Schlüssel", code());
    await page.getByRole("heading", { name: "Your password is changed" }).waitFor();
    assert.deepEqual(await accessibilityFaults(page), []);
    await page.getByRole("link", { name: "Back to your account" }).click();
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    await other.page.reload();
    await other.page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.deepEqual(complaints, []);
    for (const each of [context, other.context]) await each.close();
    await (await signIn("neuer Schlüssel")).context.close();
  });

  test("stays what it is when the old one is wrong, which is announced", async () => {
    const { page, context } = await signIn("neuer Schlüssel");
    await page.goto("/web/settings/account");
    await fill(page, "wrong", "something else", "something else", code());
    const notice = page.getByRole("alert").filter({ hasText: "Your password was not changed" });
    assert.match(await notice.innerText(), /invalid username, password or second factor$/);
    assert.equal(await page.evaluate("document.activeElement.name"), "before");
    await page.getByRole("link", { name: "Back without a change" }).click();
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    await context.close();
  });

  test("TP-20: whoever is not signed in is led back to the account page by the login", async () => {
    const { page, context } = await site.visit();
    await page.goto("/web/settings/account");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByLabel("User name").fill("alice");
    await page.getByLabel("Password", { exact: true }).fill("neuer Schlüssel");
    await page.getByLabel("Two-factor code").fill(code());
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Change password" }).waitFor();
    await context.close();
  });

  test("is chosen anew by a reset link, with another seed, and the link is used up", async () => {
    await site.clock.advance(minute);
    const path = `/web/reset/${site.auth.reset("alice")}`;
    const { page, context, complaints } = await site.visit();
    await page.goto(path);
    await page.getByRole("heading", { name: "Choose a new password" }).waitFor();
    assert.deepEqual(await accessibilityFaults(page), []);
    assert.equal(await page.getByLabel("User name").inputValue(), "alice");
    const next = (await page.locator(".authenticator code").innerText()).replace(/\s/g, "");
    assert.notEqual(next, seed);
    await page.getByLabel("Password", { exact: true }).fill("third password");
    await page.getByLabel("Password again", { exact: true }).fill("third password");
    await page.getByLabel("Two-factor code").fill(totp(next, site.clock.now()));
    await page.getByRole("button", { name: "Save and sign in" }).click();
    await page.getByRole("heading", { name: "Signed in as alice" }).waitFor();
    assert.deepEqual(complaints, []);
    await page.goto(path);
    await page.getByRole("heading", { name: "Reset link has expired" }).waitFor();
    await context.close();
  });

  test("AUTH-35: an invitation that ends while its page is open has expired", async () => {
    const token = site.auth.invite("frank");
    const { page, context } = await site.visit();
    await page.goto(`/web/newuser/${token}`);
    await page.getByLabel("Password", { exact: true }).fill("hunter22");
    await page.getByLabel("Password again", { exact: true }).fill("hunter22");
    await page.getByLabel("Two-factor code").fill("000000");
    site.auth.expire(token);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("heading", { name: "Invite code has expired" }).waitFor();
    assert.equal(await page.locator("input").count(), 0);
    await context.close();
  });
});
