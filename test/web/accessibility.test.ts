import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Page } from "playwright-core";
import { accessibilityFaults } from "./axe.ts";
import { connector, openSite, type Site, skip } from "./browser.ts";
import { totp } from "./totp.ts";

suite("accessibility", { skip }, () => {
  let site: Site;
  before(async () => {
    site = await openSite();
    site.auth.add("alice", "correct horse");
    site.auth.connectors = [
      connector("github", "Octocats & Co, the Company of a rather long Name without an End"),
    ];
  });
  after(() => site[Symbol.asyncDispose]());

  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1280, 390]) {
      test(`axe finds nothing on any screen, ${colorScheme}, ${width} pixels wide`, async () => {
        const { page, context } = await site.visit({ colorScheme, viewport: { width, height: 844 } });
        const fine = async (what: string): Promise<void> => {
          assert.deepEqual(await accessibilityFaults(page), [], what);
          assert.equal(await scrollsSideways(page), false, `${what} is wider than the window`);
        };
        await page.goto("/web/login");
        await page.getByRole("heading", { name: "Sign in" }).waitFor();
        await fine("login");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByText("Enter your password").waitFor();
        await fine("login with complaints");
        await page.getByLabel("User name").fill("alice");
        await page.getByLabel("Password", { exact: true }).fill("wrong");
        await page.getByLabel("Two-factor code").fill("000000");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByText("Could not sign in").waitFor();
        await fine("refused login");
        await page.goto("/web/msg/error/login_failed?details=no%20team");
        await page.getByText("no team").waitFor();
        await fine("login by a provider that was refused");
        await page.goto(`/web/newuser/${"0".repeat(32)}`);
        await page.getByRole("heading", { name: "Invite code has expired" }).waitFor();
        await fine("expired invitation");
        await page.goto("/web/elsewhere");
        await page.getByRole("heading", { name: "Page not found" }).waitFor();
        await fine("page not found");
        await page.goto(`/web/newuser/${site.auth.invite("a-rather-long-user-name.of-someone@example.com")}`);
        await page.getByRole("heading", { name: "Create your account" }).waitFor();
        await fine("sign-up");
        const seed = (await page.locator(".authenticator code").innerText()).replace(/\s/g, "");
        await page.getByLabel("Password", { exact: true }).fill("hunter22");
        await page.getByLabel("Password again", { exact: true }).fill("hunter22");
        await page.getByLabel("Two-factor code").fill(totp(seed, site.clock.now()));
        await page.getByRole("button", { name: "Create account" }).click();
        await page.getByRole("heading", { name: "Signed in as" }).waitFor();
        await fine("start page");
        await page.goto("/web/settings/account");
        await page.getByRole("button", { name: "Change password" }).click();
        await page.getByText("Enter your current password").waitFor();
        await fine("change of password with complaints");
        await page.goto(`/web/reset/${"0".repeat(32)}`);
        await page.getByRole("heading", { name: "Reset link has expired" }).waitFor();
        await fine("expired reset link");
        await context.close();
      });
    }
  }
});

const scrollsSideways = (page: Page): Promise<unknown> =>
  page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
