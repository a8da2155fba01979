import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { TestClock } from "#core/clock";
import { silentLog } from "#core/log";
import { systemRandom } from "#core/random";
import { door } from "./door.ts";
import { Gate } from "./gate.ts";
import { memorySockets } from "./memory-socket.ts";

const ends = { remote: { host: "192.0.2.1", port: 1 }, local: { host: "192.0.2.2", port: 2 } };

suite("a connection that comes to the door from inside the process", () => {
  test("is refused like one from outside, counted once, and taken by nobody while the door is shut", async () => {
    const refused: string[] = [];
    const gate = new Gate({
      maxConnections: 1,
      onRefused: (why) => refused.push(why),
      clock: new TestClock(),
      random: systemRandom,
      log: silentLog,
    });
    const served: Duplex[] = [];
    const ssh = door<Duplex>({
      name: "ssh",
      address: { host: "127.0.0.1", port: 0 },
      setting: "ssh_service.listen_addr",
      gate,
      handle: async (stream) => void served.push(stream),
      log: silentLog,
    });
    const [early] = memorySockets();
    assert.equal(ssh.admit(early, ends), false);
    const stop = new AbortController();
    const { promise: open, resolve } = Promise.withResolvers<void>();
    const running = ssh.run(stop.signal, resolve);
    await open;

    const [, first] = memorySockets();
    const [near, second] = memorySockets();
    assert.ok(ssh.admit(first, ends));
    assert.ok(ssh.admit(second, ends), "another way in would ask the gate again");
    assert.equal(await text(near), "Too many connections; try again later\r\n");
    assert.deepEqual(served, [first]);
    assert.deepEqual(refused, ["connections_per_source"]);

    stop.abort();
    await running;
  });
});
