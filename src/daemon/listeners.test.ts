import assert from "node:assert/strict";
import { once } from "node:events";
import { fstatSync, openSync } from "node:fs";
import { connect, createServer } from "node:net";
import { suite, test } from "node:test";
import { Listeners } from "./listeners.ts";

const anywhere = { host: "127.0.0.1", port: 0 };

suite("the listeners of a process", () => {
  test("are named for the next by setting and address, with their descriptors, while they are open", async () => {
    const listeners = new Listeners([]);
    const server = createServer();
    const { port } = await listeners.listen(server, anywhere, "ssh_service.listen_addr");
    assert.ok(port > 0);
    const [one, ...more] = listeners.open;
    assert.deepEqual([one?.name, more], ["ssh_service.listen_addr 127.0.0.1:0", []]);
    assert.ok(fstatSync(one?.fd ?? -1).isSocket());
    await listeners.retire();
    assert.deepEqual(listeners.open, []);
  });

  test("retire when the last connection is over, and take no new one from the first moment", async () => {
    const listeners = new Listeners([]);
    const server = createServer((socket) => socket.resume());
    const { port } = await listeners.listen(server, anywhere, "a");
    const client = connect(port, "127.0.0.1");
    await once(server, "connection");
    let over = false;
    const retired = listeners.retire().then(() => {
      over = true;
    });
    const late = connect(port, "127.0.0.1");
    const [err] = (await once(late, "error")) as [NodeJS.ErrnoException];
    assert.equal(err.code, "ECONNREFUSED");
    assert.equal(over, false);
    client.end();
    await retired;
  });

  test("close what they inherited and nobody asked for", () => {
    const fd = openSync("/dev/null", "r");
    const listeners = new Listeners([{ name: "a 127.0.0.1:1", fd }]);
    listeners.dropUnused();
    assert.throws(() => fstatSync(fd), { code: "EBADF" });
    listeners.dropUnused();
  });
});
