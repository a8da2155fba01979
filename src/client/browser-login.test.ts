import assert from "node:assert/strict";
import { createServer } from "node:http";
import { suite, test } from "node:test";
import { answerUrl, loopbackKey } from "#contract/loopback";
import { second, TestClock } from "#core/clock";
import { Fault, type FaultKind } from "#core/errors";
import { systemRandom } from "#core/random";
import { newSealingKey, seal } from "#core/seal";
import { type BrowserLogin, browserLogin } from "./browser-login.ts";

/** A login that has begun: what tsh shows, and what the proxy was told. */
async function begun(more: Partial<BrowserLogin> = {}) {
  const clock = new TestClock();
  const stop = new AbortController();
  const shown = Promise.withResolvers<string>();
  let redirectUrl = "";
  const result = browserLogin({
    start: async (url) => {
      redirectUrl = url;
      return "https://proxy.example.com/web/login/tsh/1";
    },
    show: shown.resolve,
    bindAddr: undefined,
    clock,
    random: systemRandom,
    signal: stop.signal,
    ...more,
  });
  result.catch(() => {});
  const address = await Promise.race([shown.promise, result.then(() => assert.fail("it ended"))]);
  const visit = (url: string, more?: RequestInit): Promise<Response> =>
    fetch(url, { redirect: "manual", ...more });
  return { result, address, redirectUrl, clock, stop, visit };
}
const rejects = (attempt: Promise<unknown>, kind: FaultKind, said: RegExp): Promise<void> =>
  assert.rejects(attempt, (err) => Fault.is(err, kind) && said.test(err.message));

suite("a login in the browser that tsh waits for", () => {
  test("TSH-33: a short address of this machine leads to the page, and the sealed answer comes back", async () => {
    const { result, address, redirectUrl, visit } = await begun();
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{16}$/);
    const page = await visit(address);
    assert.equal(page.status, 302);
    assert.equal(page.headers.get("location"), "https://proxy.example.com/web/login/tsh/1");
    const done = await visit(answerUrl(redirectUrl, seal({ username: "joe" }, loopbackKey(redirectUrl))));
    assert.equal(done.status, 200);
    assert.match(await done.text(), /You can close this window/);
    assert.equal(done.headers.get("referrer-policy"), "no-referrer");
    assert.deepEqual(await result, { username: "joe" });
    await assert.rejects(visit(address), "it listens no more");
  });

  test("a refusal comes back sealed as well, and the page does not claim that one is logged in", async () => {
    const { result, redirectUrl, visit } = await begun();
    const refusal = { error: "you belong to no team" };
    const page = await visit(answerUrl(redirectUrl, seal(refusal, loopbackKey(redirectUrl))));
    assert.match(await page.text(), /You are not logged in/);
    assert.deepEqual(await result, refusal);
  });

  test("what another key sealed is refused, and the right answer still counts", async () => {
    const { result, redirectUrl, visit } = await begun();
    for (const response of [seal({ username: "eve" }, newSealingKey()), "{}", ""]) {
      const refused = await visit(answerUrl(redirectUrl, response));
      assert.equal(refused.status, 400);
    }
    await visit(answerUrl(redirectUrl, seal({ username: "joe" }, loopbackKey(redirectUrl))));
    assert.deepEqual(await result, { username: "joe" });
  });

  test("one answer counts: of two at once the first", async () => {
    const { result, redirectUrl, visit } = await begun();
    const key = loopbackKey(redirectUrl);
    const both = await Promise.allSettled(
      ["joe", "joe"].map((username) => visit(answerUrl(redirectUrl, seal({ username }, key)))),
    );
    const statuses = both.map((one) => (one.status === "fulfilled" ? one.value.status : 0));
    assert.equal(statuses.filter((status) => status === 200).length, 1);
    assert.deepEqual(await result, { username: "joe" });
  });

  test("other addresses, methods and names of the machine find nothing", async () => {
    const { address, redirectUrl, visit, stop } = await begun();
    const { origin, port } = new URL(address);
    const good = answerUrl(redirectUrl, seal({}, loopbackKey(redirectUrl)));
    assert.equal((await visit(`${origin}/`)).status, 404);
    assert.equal((await visit(`${origin}//`)).status, 404);
    assert.equal((await visit(good, { method: "POST" })).status, 404);
    // `localhost` is not how the address was told; a name of somebody else's would look the same.
    assert.equal((await visit(good.replace("127.0.0.1", "localhost"))).status, 404);
    assert.ok(Number(port) > 0);
    stop.abort();
  });

  test("TSH-33: after 180 seconds nobody waits any more", async () => {
    const { result, clock, address, visit } = await begun();
    await clock.advance(179 * second);
    assert.equal((await visit(address)).status, 302);
    await clock.advance(1 * second);
    await rejects(result, "unreachable", /^timed out waiting for callback/);
    await assert.rejects(visit(address));
  });

  test("whoever interrupts it does not wait", async () => {
    const { result, stop, address, visit } = await begun();
    stop.abort(new Error("interrupted"));
    await assert.rejects(result, /interrupted/);
    await assert.rejects(visit(address));
  });

  test("a proxy that refuses to begin it is heard at once, and nothing is shown", async () => {
    const refused = begun({ start: () => Promise.reject(new Fault("access_denied", "not here")) });
    await rejects(refused, "access_denied", /^not here$/);
  });

  for (const bindAddr of ["0.0.0.0:0", "10.0.0.1:4242", "host.example.com:4242", "[::]:0"])
    test(`--bind-addr=${bindAddr} is refused: others could reach it`, () =>
      rejects(begun({ bindAddr }), "bad_parameter", /--bind-addr/));

  test("--bind-addr says where, and a taken port is told", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    await rejects(begun({ bindAddr: `127.0.0.1:${port}` }), "unreachable", /cannot wait for the browser/);
    await new Promise((resolve) => taken.close(resolve));
    const { redirectUrl, stop } = await begun({ bindAddr: `127.0.0.1:${port}` });
    assert.match(
      redirectUrl,
      new RegExp(`^http://127\\.0\\.0\\.1:${port}/callback\\?secret_key=[0-9a-f]{64}$`),
    );
    stop.abort();
  });
});
