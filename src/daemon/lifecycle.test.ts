import assert from "node:assert/strict";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { aborted } from "#core/aborted";
import { TestClock } from "#core/clock";
import { Leaving } from "#core/leaving";
import { memoryLog } from "#core/log";
import { Lifecycle } from "./lifecycle.ts";
import { Listeners } from "./listeners.ts";
import type { FromChild, FromParent, Told } from "./own-process.ts";

/** A process without one: what it is told and what it tells are arrays. */
async function started({
  companion,
  child = companion !== undefined,
}: {
  companion?: number;
  child?: boolean;
} = {}) {
  const [said, sent]: [string[], FromChild[]] = [[], []];
  let tell: (signal: Told) => void = () => {};
  let order: (message: FromParent) => void = () => {};
  const leaving = new Leaving({ replaced: child && companion === undefined });
  const listeners = new Listeners([]);
  const server = createServer();
  await listeners.listen(server, { host: "127.0.0.1", port: 0 }, "a");
  const stop = new AbortController();
  const log = memoryLog();
  const lifecycle = new Lifecycle(
    {
      own: {
        // It cannot be started.
        command: { file: "/nonexistent/teleport", args: [] },
        env: {},
        onSignal: (listener) => {
          tell = listener;
        },
        ...(child && {
          parent: {
            inherited: [],
            ...(companion !== undefined && { companion }),
            send: (message: FromChild) => void sent.push(message),
            onMessage: (listener: (message: FromParent) => void) => {
              order = listener;
            },
            onGone: () => {},
          },
        }),
      },
      listeners,
      leaving,
      notify: async (...assignments) => void said.push(assignments.join(" ")),
      describe: () => void said.push("described"),
      clock: new TestClock(),
      log,
    },
    stop.signal,
  );
  return {
    lifecycle,
    leaving,
    server,
    said,
    sent,
    log,
    stop: () => stop.abort(),
    tell: (signal: Told) => tell(signal),
    order: (message: FromParent) => order(message),
    [Symbol.dispose]: () => void server.close(),
  };
}

suite("the life of a process", () => {
  test("one that was started by hand says that it serves, and that it stops", async () => {
    using it = await started();
    await it.lifecycle.ready();
    it.stop();
    assert.deepEqual(it.said, ["READY=1", "STOPPING=1"]);
  });

  test("one that takes over is the main process when it serves, and tells the other; until then the host's records are not its own", async () => {
    using it = await started({ child: true });
    assert.equal(it.leaving.replaced, true);
    await it.lifecycle.ready();
    assert.deepEqual(it.said, [`READY=1 MAINPID=${process.pid}`]);
    assert.deepEqual(it.sent, [{ ready: true }]);
    assert.equal(it.leaving.replaced, false);
  });

  test("QUIT: stops listening, waits for what was asked of it, then is over", async () => {
    using it = await started();
    await it.lifecycle.ready();
    const work = Promise.withResolvers<void>();
    it.leaving.begun.addEventListener("abort", () => it.leaving.waitFor(work.promise));
    it.tell("SIGQUIT");
    assert.equal(it.server.listening, false);
    assert.equal(it.leaving.replaced, false);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(it.lifecycle.end.aborted, false);
    work.resolve();
    await aborted(it.lifecycle.end);
    assert.deepEqual(it.said, ["READY=1", "STOPPING=1"]);
  });

  test("QUIT: one that is not ready has nothing to wait for", async () => {
    using it = await started();
    it.tell("SIGQUIT");
    assert.ok(it.lifecycle.end.aborted);
  });

  for (const signal of ["SIGHUP", "SIGUSR2"] as const) {
    test(`${signal}: when no process can be started it serves on, and a reload is over`, async () => {
      using it = await started();
      await it.lifecycle.ready();
      it.tell(signal);
      it.tell(signal);
      while (it.said.length < 3) await new Promise((resolve) => setImmediate(resolve));
      assert.match(it.said[1] ?? "", /^RELOADING=1 MONOTONIC_USEC=\d+$/);
      assert.equal(it.said[2], "READY=1");
      assert.ok(it.server.listening);
      assert.ok(!it.leaving.begun.aborted);
      const warned = it.log.lines.filter(({ level }) => level === "warn");
      assert.match(String(warned[0]?.fields.why), /on its way/);
      assert.match(String(warned[1]?.fields.error), /could not be started: .*ENOENT/);
    });
  }

  test("HUP: one that came during the start is carried out after it", async () => {
    using it = await started();
    it.tell("SIGHUP");
    assert.deepEqual(it.said, []);
    await it.lifecycle.ready();
    while (it.said.length < 3) await new Promise((resolve) => setImmediate(resolve));
    assert.match(it.said[1] ?? "", /^RELOADING=1/);
  });

  test("a further process of a proxy follows the first, not the signals of its terminal", async () => {
    using it = await started({ companion: 2 });
    await it.lifecycle.ready();
    for (const signal of ["SIGHUP", "SIGUSR2", "SIGQUIT", "SIGUSR1"] as const) it.tell(signal);
    assert.deepEqual(it.said, ["described"]);
    assert.ok(it.server.listening);
    it.order({ leave: { replaced: true } });
    assert.equal(it.leaving.replaced, true);
    await aborted(it.lifecycle.end);
    assert.deepEqual(it.said, ["described"]);
  });
});
