import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { minute, TestClock } from "#core/clock";
import { stamp } from "#events";
import { DirectStreamlocal, StreamlocalForward, TcpipForward } from "#ssh/forward";
import { Refusals, refusedChannel, refusedRequest } from "./refusals.ts";

const none = new Uint8Array(0);
const direct = (path: string): Uint8Array =>
  DirectStreamlocal.encode({ path, reservedText: "", reservedNumber: 0 });

suite("what the proxy does for nobody", () => {
  test("S38: listening, sockets and other channels each make an event that says what was asked for", () => {
    const listen = TcpipForward.encode({ host: "::", port: 80 });
    const at = StreamlocalForward.encode({ path: "/run/x" });
    const cases = [
      [refusedRequest("tcpip-forward", listen), "T4032E", { addr: "[::]:80" }],
      [
        refusedRequest("streamlocal-forward@openssh.com", at),
        "T4033E",
        { path: "/run/x", direction: "remote" },
      ],
      [
        refusedChannel("direct-streamlocal@openssh.com", direct("/run/y")),
        "T4033E",
        { path: "/run/y", direction: "local" },
      ],
      [refusedRequest("tcpip-forward", none), "T3007W", { error: "the request tcpip-forward is malformed" }],
      [refusedChannel("direct-streamlocal@openssh.com", none), "T3007W", {}],
      [refusedChannel("x11", none), "T3007W", { error: 'the proxy serves no "x11" channels' }],
      [refusedChannel("a\u001b[2J", none), "T3007W", { error: 'the proxy serves no "a\\u001b[2J" channels' }],
    ] as const;
    for (const [refusal, code, fields] of cases) {
      assert.ok(refusal);
      const who = { user: "joe", login: "root", server_id: "s", "addr.remote": "192.0.2.1:1" };
      const event = stamp({ ...who, ...refusal } as Parameters<typeof stamp>[0], {
        clock: new TestClock(),
        random: { uuid: () => "00000000-0000-4000-8000-000000000000" } as Parameters<
          typeof stamp
        >[1]["random"],
      });
      assert.equal(event.code, code);
      assert.partialDeepStrictEqual(event, fields);
    }
  });
  test("requests that ask for nothing make none", () => {
    for (const name of ["keepalive@openssh.com", "cancel-tcpip-forward", "x-teleport-version", "anything"])
      assert.equal(refusedRequest(name, none), undefined);
  });
  test("what a client names is kept to a length", () => {
    const { path = "" } = refusedChannel("direct-streamlocal@openssh.com", direct("/".repeat(30_000))) as {
      path?: string;
    };
    assert.equal(path.length, 513);
    assert.ok(refusedChannel("x".repeat(30_000), none).error.length < 600);
  });
});

suite("how many refusals are written down", () => {
  test("S38: ten of one user at once and one more each minute, with the number of those between", async () => {
    const clock = new TestClock();
    const refusals = new Refusals(clock);
    const asked = (times: number) => Array.from({ length: times }, () => refusals.admit("joe"));
    assert.deepEqual(asked(12), [...Array(10).fill(0), undefined, undefined]);
    assert.equal(refusals.admit("ann"), 0, "another user's are another's");
    await clock.advance(minute);
    assert.deepEqual(asked(3), [2, undefined, undefined]);
    await clock.advance(60 * minute);
    assert.deepEqual(asked(11), [2, ...Array(9).fill(0), undefined]);
  });
  test("who has been still is forgotten", async () => {
    const clock = new TestClock();
    const refusals = new Refusals(clock);
    for (let i = 0; i < 100; i++) refusals.admit(`user-${i}`);
    assert.equal(refusals.size, 100);
    await clock.advance(minute);
    refusals.admit("joe");
    assert.equal(refusals.size, 1);
  });
});
