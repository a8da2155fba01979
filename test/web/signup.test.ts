import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Page } from "playwright-core";
import { openSite, type Site, skip } from "./browser.ts";
import { totp } from "./totp.ts";

const size = (img: object): number[] => {
  const { naturalWidth, naturalHeight } = img as { naturalWidth: number; naturalHeight: number };
  return [naturalWidth, naturalHeight];
};

suite("signing up with a browser", { skip }, () => {
  let site: Site;
  before(async () => {
    site = await openSite();
  });
  after(() => site[Symbol.asyncDispose]());

  async function invited(name: string) {
    const visitor = await site.visit();
    await visitor.page.goto(`/web/newuser/${site.auth.invite(name)}`);
    await visitor.page.getByRole("heading", { name: "Create your account" }).waitFor();
    return visitor;
  }
  const seedOf = async (page: Page): Promise<string> =>
    (await page.locator(".authenticator code").innerText()).replace(/\s/g, "");
  const passwords = async (page: Page, first: string, second = first): Promise<void> => {
    await page.getByLabel("Password", { exact: true }).fill(first);
    await page.getByLabel("Password again", { exact: true }).fill(second);
  };

  test("an invited person chooses a password, connects an app and is in", async () => {
    const { page, context, complaints } = await invited("bob");
    assert.equal(await page.getByLabel("User name").inputValue(), "bob");
    const qr = page.getByRole("img", { name: "QR code for your authenticator app" });
    assert.deepEqual(await qr.evaluate(size), [456, 456]);
    await passwords(page, "hunter22");
    await page.getByLabel("Two-factor code").fill(totp(await seedOf(page), site.clock.now()));
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("heading", { name: "Signed in as bob" }).waitFor();
    assert.equal(site.auth.has("bob"), true);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("two different passwords are noticed before anything is sent", async () => {
    const { page, context } = await invited("carol");
    await passwords(page, "hunter22", "hunter23");
    await page.getByLabel("Two-factor code").fill("000000");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("The two passwords are not the same").waitFor();
    assert.equal(await page.evaluate("document.activeElement.name"), "again");
    assert.equal(site.auth.has("carol"), false);
    await context.close();
  });

  test("a wrong code leaves the invitation and the seed as they are", async () => {
    const { page, context } = await invited("dave");
    const seed = await seedOf(page);
    const good = totp(seed, site.clock.now());
    await passwords(page, "hunter22");
    await page.getByLabel("Two-factor code").fill(good === "000000" ? "111111" : "000000");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("Your account was not created").waitFor();
    assert.equal(await seedOf(page), seed);
    await page.getByLabel("Two-factor code").fill(good);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("heading", { name: "Signed in as dave" }).waitFor();
    await context.close();
  });

  test("an invitation that is used up has expired", async () => {
    const { page, context } = await site.visit();
    await page.goto(`/web/newuser/${"0".repeat(32)}`);
    await page.getByRole("heading", { name: "Invite code has expired" }).waitFor();
    assert.equal(await page.locator("input").count(), 0);
    await context.close();
  });

  test("S67: a name with markup is text", async () => {
    const name = `<img src=x onerror="document.title='owned'">`;
    const { page, context } = await invited(name);
    assert.equal(await page.getByLabel("User name").inputValue(), name);
    await passwords(page, "hunter22");
    await page.getByLabel("Two-factor code").fill(totp(await seedOf(page), site.clock.now()));
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("heading", { name: `Signed in as ${name}` }).waitFor();
    assert.equal(await page.title(), `Signed in as ${name} · Teleport`);
    assert.equal(await page.locator("main img").count(), 0);
    const line = await page.locator("#terminal ~ .copy code").innerText();
    assert.match(line, /--user='<img src=x onerror="document\.title='\\''owned'\\''">'$/);
    await context.close();
  });
});

suite("signing up where no second factor is asked for", { skip }, () => {
  test("a password is enough", async () => {
    await using site = await openSite("off");
    const { page, context } = await site.visit();
    await page.goto(`/web/newuser/${site.auth.invite("erin")}`);
    await page.getByRole("heading", { name: "Create your account" }).waitFor();
    assert.equal(await page.getByLabel("Two-factor code").count(), 0);
    assert.equal(await page.getByRole("img", { name: "QR code" }).count(), 0);
    await page.getByLabel("Password", { exact: true }).fill("hunter22");
    await page.getByLabel("Password again", { exact: true }).fill("hunter22");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Signed in as erin" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.equal(await page.getByLabel("Two-factor code").count(), 0);
    await context.close();
  });
});
