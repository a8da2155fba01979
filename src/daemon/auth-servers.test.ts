import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { AuthServer } from "#model";
import { AuthServers } from "./auth-servers.ts";

const free = (server: Server): { host: string; port: number } => {
  const at = server.address();
  assert.ok(at !== null && typeof at === "object");
  return { host: "127.0.0.1", port: at.port };
};

/** A data folder and three auth servers that only count who comes. */
async function world() {
  const folder = await mkdtemp(join(tmpdir(), "servers-"));
  const path = join(folder, "authservers.json");
  const clock = new TestClock();
  const log = memoryLog();
  const came: string[] = [];
  const servers = await Promise.all(
    ["a", "b", "c"].map(async (name) => {
      const server = createServer((socket) => {
        came.push(name);
        socket.destroy();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return { server, address: free(server), text: `127.0.0.1:${free(server).port}` };
    }),
  );
  const [a, b, c] = servers as [(typeof servers)[0], (typeof servers)[0], (typeof servers)[0]];
  return {
    path,
    clock,
    log,
    a,
    b,
    c,
    open: (listed: readonly { host: string; port: number }[], byFlag = false) =>
      AuthServers.open({ path, listed, byFlag, clock, log }),
    /** Which of them a connection reaches. */
    async reached(list: AuthServers): Promise<string | undefined> {
      came.length = 0;
      const socket = await list.dial(new AbortController().signal);
      await new Promise((resolve) => socket.once("end", resolve).once("error", resolve).resume());
      socket.destroy();
      return came[0];
    },
    async [Symbol.asyncDispose]() {
      for (const { server } of servers) server.close();
      await rm(folder, { recursive: true });
    },
  };
}

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
  });

suite("the list of auth servers", () => {
  test("HA-04: what the cluster said wins over the configuration, which is fallen back to", async () => {
    await using w = await world();
    await writeFile(w.path, JSON.stringify([w.b.text]));
    const list = await w.open([w.a.address]);
    assert.equal(await w.reached(list), "b");
    await close(w.b.server);
    assert.equal(await w.reached(list), "a");
    await rm(w.path);
    assert.equal(await w.reached(await w.open([w.a.address])), "a");
  });

  test("HA-04: --auth-server wins over both", async () => {
    await using w = await world();
    await writeFile(w.path, JSON.stringify([w.b.text]));
    assert.equal(await w.reached(await w.open([w.c.address], true)), "c");
  });

  test("HA-03: one that failed is asked after the others for ten seconds", async () => {
    await using w = await world();
    const { port } = w.b.address;
    await close(w.b.server);
    await writeFile(w.path, JSON.stringify([w.b.text, w.c.text]));
    const list = await w.open([]);
    assert.equal(await w.reached(list), "c");
    const again = createServer((socket) => socket.end("b"));
    await new Promise<void>((resolve) => again.listen(port, "127.0.0.1", resolve));
    assert.equal(await w.reached(list), "c");
    await w.clock.advance(10 * second);
    assert.equal(await w.reached(list), undefined, "the one that is back, which counts nobody");
    await close(again);
  });

  for (const [why, text] of [
    ["is no JSON", "["],
    ["is no list", '{"a":1}'],
    ["holds what is no address", '["a:99999"]'],
    ["is empty", ""],
  ] as const) {
    test(`HA-04: a file that ${why} is passed over with a warning`, async () => {
      await using w = await world();
      await writeFile(w.path, text);
      assert.equal(await w.reached(await w.open([w.a.address])), "a");
      assert.match(w.log.lines[0]?.message ?? "", /passed over/);
    });
  }

  test("HA-04: is asked for every half minute and kept, closed to others; silence and an empty answer change nothing", async () => {
    await using w = await world();
    const list = await w.open([w.a.address]);
    let told: string[] | undefined = [w.c.text, w.b.text];
    const service = list.follow({
      "auth_servers.list": async () => {
        if (!told) throw new Fault("unreachable", "away");
        return told.map((addr, i) =>
          AuthServer.parse({
            kind: "auth_server",
            version: "v2",
            metadata: { name: String(i) },
            spec: { hostname: "auth", addr, version: "5.0.0" },
          }),
        );
      },
    });
    const stop = new AbortController();
    const done = service.run(stop.signal, () => {});
    const kept = async (): Promise<unknown> => JSON.parse(await readFile(w.path, "utf8").catch(() => "null"));
    const until = async (holds: () => Promise<boolean>): Promise<void> => {
      const late = performance.now() + 10_000;
      while (!(await holds())) assert.ok(performance.now() < late, "did not come true");
    };
    await until(async () => (await kept()) !== null);
    assert.deepEqual(await kept(), [w.b.text, w.c.text].sort());
    assert.equal((await stat(w.path)).mode & 0o777, 0o600);
    for (const next of [[], undefined, [w.a.text]]) {
      told = next;
      while (w.clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
      await w.clock.advance(30 * second);
    }
    await until(async () => JSON.stringify(await kept()) === JSON.stringify([w.a.text]));
    stop.abort();
    await done;
  });
});
