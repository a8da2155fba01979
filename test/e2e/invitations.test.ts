import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { mustRun } from "../support/run.ts";
import { totp } from "../support/totp.ts";
import { type Browser, openChromium, skip } from "../web/chromium.ts";
import { type Cluster, login, password, startCluster } from "./cluster.ts";
import { tokenIn } from "./people.ts";

/** The address that a command printed. */
const addressIn = (said: string): string => /https:\/\/\S+\/web\/\w+\/[0-9a-f]{32}/.exec(said)?.[0] ?? said;

for (const [factor, secondFactor] of [
  ["no second factor", "off"],
  ["one-time codes", "otp"],
] as const) {
  suite(`invitations in a browser, with ${factor}`, { skip, timeout: 240_000 }, () => {
    const stack = new AsyncDisposableStack();
    let cluster: Cluster;
    let browser: Browser;
    before(async () => {
      await mustRun("sh", [join(import.meta.dirname, "../../scripts/build-web.sh")], { timeout: 120_000 });
      cluster = stack.use(await startCluster({ secondFactor }));
      browser = stack.use(await openChromium(`https://127.0.0.1:${cluster.ports.web}`));
    });
    after(() => stack.disposeAsync());

    /** Opens the page of an address, which asks for a password, and a code where there are codes. */
    async function openPage(address: string, heading: string) {
      const { page, context, complaints } = await browser.visit();
      await page.goto(address);
      await page.getByRole("heading", { name: heading }).waitFor();
      const codes = page.getByLabel("Two-factor code");
      assert.equal(await codes.count(), secondFactor === "otp" ? 1 : 0);
      const seed =
        secondFactor === "otp"
          ? (await page.locator(".authenticator code").innerText()).replace(/\s/g, "")
          : undefined;
      const fill = async (pass: string, code: string): Promise<void> => {
        await page.getByLabel("Password", { exact: true }).fill(pass);
        await page.getByLabel("Password again", { exact: true }).fill(pass);
        if (seed !== undefined) await codes.fill(code);
        await page.locator("button[type=submit]").click();
      };
      return { page, context, complaints, seed, fill };
    }
    const gone = async (address: string, heading: string): Promise<void> => {
      const { page, context } = await browser.visit();
      await page.goto(address);
      await page.getByRole("heading", { name: heading }).waitFor();
      assert.equal(await page.locator("input").count(), 0);
      await context.close();
    };

    test(`TP-18: an invited person signs up, with ${factor}; a second time the invitation has expired`, async () => {
      const address = addressIn(await cluster.mustTctl("users", "add", "iris", login));
      const { page, context, complaints, seed, fill } = await openPage(address, "Create your account");
      assert.equal(await page.getByLabel("User name").inputValue(), "iris");
      if (seed !== undefined) {
        await fill(password, totp(seed) === "000000" ? "111111" : "000000");
        await page.getByText("Your account was not created").waitFor();
        assert.doesNotMatch(await cluster.mustTctl("users", "ls"), /iris/);
        complaints.length = 0;
      }
      await fill(password, totp(seed ?? "AA"));
      await page.getByRole("heading", { name: "Signed in as iris" }).waitFor();
      assert.deepEqual(complaints, []);
      assert.match(await cluster.mustTctl("users", "ls"), new RegExp(`^iris +${login}$`, "m"));
      await gone(address, "Invite code has expired");
      await context.close();
    });

    test(`TP-18: an invitation whose time is over, that was revoked, or that nobody made has expired, with ${factor}`, async () => {
      const late = addressIn(await cluster.mustTctl("users", "add", "late", "--ttl=1s"));
      await eventually("an end of the invitation", async () => {
        const path = `/v1/webapi/users/invites/${tokenIn(late)}`;
        return (await cluster.web(path)).status === 404;
      });
      await gone(late, "Invite code has expired");
      const revoked = addressIn(await cluster.mustTctl("users", "add", "late"));
      await cluster.mustTctl("tokens", "rm", tokenIn(revoked));
      await gone(revoked, "Invite code has expired");
      await gone(`/web/newuser/${"0".repeat(32)}`, "Invite code has expired");
      await gone("/web/newuser/nonsense", "Invite code has expired");
    });

    test(`a reset link lets its owner choose a new password, with ${factor}, once`, async () => {
      const address = addressIn(await cluster.mustTctl("users", "reset", "iris"));
      const { page, context, complaints, seed, fill } = await openPage(address, "Choose a new password");
      await fill("a new password", totp(seed ?? "AA"));
      await page.getByRole("heading", { name: "Signed in as iris" }).waitFor();
      await page.getByRole("link", { name: "Change password" }).click();
      await page.getByLabel("Current password", { exact: true }).fill("a new password");
      await page.getByLabel("New password", { exact: true }).fill("a third password");
      await page.getByLabel("New password again", { exact: true }).fill("a third password");
      if (seed !== undefined) await page.getByLabel("Two-factor code").fill(totp(seed, 1));
      await page.getByRole("button", { name: "Change password" }).click();
      await page.getByRole("heading", { name: "Your password is changed" }).waitFor();
      await page.reload();
      await page.getByRole("heading", { name: "Change password" }).waitFor();
      assert.deepEqual(complaints, []);
      await gone(address, "Reset link has expired");
      await context.close();
    });
  });
}
