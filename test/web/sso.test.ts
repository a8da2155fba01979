import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { connector, openSite, type Site, skip } from "./browser.ts";

suite("signing in by a provider, on the pages", { skip }, () => {
  let site: Site;
  before(async () => {
    site = await openSite();
    site.auth.connectors = [connector("github", "<b>Octo</b>"), connector("second", "")];
  });
  after(() => site[Symbol.asyncDispose]());

  async function at(path: string, heading: string) {
    const visitor = await site.visit();
    await visitor.page.goto(path);
    await visitor.page.getByRole("heading", { name: heading }).waitFor();
    return visitor;
  }

  test("WEB-51, WEB-57: a link for each connector, by its display or its name, that comes back here", async () => {
    const { page, context, complaints } = await at("/web/login?redirect_uri=%2Fweb%3Fa%3Db", "Sign in");
    const links = page.getByRole("link", { name: /Sign in with/ });
    assert.deepEqual(await links.allInnerTexts(), ["Sign in with <b>Octo</b>", "Sign in with second"]);
    const to = new URL((await links.first().getAttribute("href")) ?? "", site.url);
    assert.equal(to.pathname, "/v1/webapi/github/login/web");
    assert.deepEqual(Object.fromEntries(to.searchParams), {
      connector_id: "github",
      redirect_url: "/web?a=b",
    });
    assert.equal(await page.getByLabel("User name").count(), 1);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("where passwords let nobody in none is asked for", async () => {
    site.auth.preference = { type: "github", local_auth: false };
    const { page, context } = await at("/web/login", "Sign in");
    assert.equal(await page.getByLabel("User name").count(), 0);
    assert.equal(await page.getByRole("link", { name: /Sign in with/ }).count(), 2);
    site.auth.preference = {};
    await context.close();
  });

  test("S67: what the address says of a failed login is text, whatever it holds", async () => {
    const details = `<img src=x onerror="document.title='owned'"> ${"long ".repeat(500)}`;
    const { page, context, complaints } = await at(
      `/web/msg/error/login_failed?details=${encodeURIComponent(details)}`,
      "Could not sign in",
    );
    const said = await page.getByRole("alert").innerText();
    assert.ok(said.startsWith("<img src=x onerror=") && said.length <= 500);
    assert.equal(await page.title(), "Could not sign in · Teleport");
    assert.equal(await page.locator("main img").count(), 0);
    assert.deepEqual(complaints, []);
    await page.getByRole("link", { name: "Back to the login page" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await context.close();
  });

  test("who comes to the last page without a session is told so, and goes nowhere", async () => {
    const { page, context } = await at("/web/sso?redirect_uri=%2F%2Fevil.example.com", "Could not sign in");
    assert.equal(new URL(page.url()).origin, site.url);
    await page.getByText("sign in first").waitFor();
    await context.close();
  });

  test("out to the provider and back: the session is there, and no cookie is left that a script could want", async () => {
    const { page, context, complaints } = await site.visit();
    // The provider is only an address here: it sends people back at once.
    await context.route("https://provider.example.com/**", (route) => {
      const state = new URL(route.request().url()).searchParams.get("state");
      const location = `${site.url}/v1/webapi/github/callback?code=c&state=${state}`;
      return route.fulfill({ status: 302, headers: { location } });
    });
    await page.goto("/web/login?redirect_uri=%2Fweb%3Fa%3Db");
    await page.getByRole("link", { name: "Sign in with second" }).click();
    await page.getByRole("heading", { name: "Signed in as octocat" }).waitFor();
    assert.equal(page.url(), `${site.url}/web?a=b`);
    assert.equal(await page.evaluate("document.cookie"), "");
    const cookies = await context.cookies();
    assert.deepEqual(cookies.map(({ name }) => name).sort(), ["grv_csrf", "session"]);
    assert.deepEqual(complaints, []);
    await context.close();
  });
});
