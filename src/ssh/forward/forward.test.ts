import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import type { Channel, Connection } from "../connection/channel.ts";
import { connectionPair } from "../testing/index.ts";
import { settle } from "../testing/packet-pair.ts";
import { AskedForwards } from "./asked.ts";
import { type Bind, RemoteForwards, type Visitor } from "./listeners.ts";
import { ForwardedTcpip, TcpipForward } from "./requests.ts";
import { splice } from "./splice.ts";

/** A machine on which ports can be listened on, without any network. */
class Machine {
  readonly ports = new Map<number, (visitor: Visitor) => void>();
  #next = 40_000;
  readonly listen = async (bind: Bind, visit: (visitor: Visitor) => void) => {
    if (bind.kind === "unix") throw new Fault("access_denied", "no sockets here");
    const port = bind.port || this.#next++;
    if (this.ports.has(port)) throw new Fault("already_exists", `port ${port} is taken`);
    this.ports.set(port, visit);
    return {
      port,
      [Symbol.asyncDispose]: async () => {
        this.ports.delete(port);
      },
    };
  };
  visit(port: number) {
    const [near, far] = duplexPair();
    const visit = this.ports.get(port);
    assert.ok(visit, `nothing listens on ${port}`);
    visit({ stream: far, host: "192.0.2.7", port: 5555 });
    return near;
  }
}

function client(machine: Machine): { connection: Connection; server: Connection; asked: AskedForwards } {
  const { client: connection, server } = connectionPair();
  const forwards = new RemoteForwards(server, machine.listen);
  server.onRequest((name, payload) => forwards.answer(name, payload) ?? false);
  const asked = new AskedForwards(connection);
  connection.onOpen((request) => void asked.take(request));
  return { connection, server, asked };
}

const tcp = (port: number): Bind => ({ kind: "tcp", host: "localhost", port });

/** Answers each channel by what it got, in capitals, once the other side has ended. */
async function shout(channel: Channel): Promise<void> {
  let all = "";
  for await (const chunk of channel) all += Buffer.from(chunk).toString();
  await channel.write(Buffer.from(all.toUpperCase()));
  await channel.close();
}

suite("remote forwards", () => {
  test("a visitor of the server's port reaches the client, half-close included", async () => {
    const machine = new Machine();
    const { asked } = client(machine);
    assert.deepEqual(await asked.ask(tcp(8080), (channel) => void shout(channel)), tcp(8080));
    const visitor = machine.visit(8080);
    visitor.end("hello");
    assert.equal(Buffer.concat(await visitor.toArray()).toString(), "HELLO");
  });

  test("port 0 becomes a real one, and visitors find the way by it", async () => {
    const machine = new Machine();
    const { asked } = client(machine);
    const bind = await asked.ask(tcp(0), (channel) => void shout(channel));
    assert.deepEqual(bind, tcp(40_000));
    const visitor = machine.visit(40_000);
    visitor.end("x");
    assert.equal(Buffer.concat(await visitor.toArray()).toString(), "X");
    assert.equal(await asked.cancel(bind), true);
    assert.equal(machine.ports.size, 0);
    assert.equal(await asked.cancel(bind), false);
  });

  test("who comes before the client knows the port waits for it", async () => {
    const machine = new Machine();
    const { listen } = machine;
    let early: ReturnType<Machine["visit"]> | undefined;
    Object.assign(machine, {
      listen: async (...args: Parameters<typeof listen>) => {
        const listener = await listen(...args);
        early = machine.visit(listener.port);
        return listener;
      },
    });
    const { asked } = client(machine);
    await asked.ask(tcp(0), (channel) => void shout(channel));
    early?.end("early");
    assert.equal(Buffer.concat((await early?.toArray()) ?? []).toString(), "EARLY");
  });

  test("S65: of visitors that the client does not take, a thousand wait, and others are turned away", async () => {
    const machine = new Machine();
    let asked = 0;
    const silent = {
      closed: new Promise<never>(() => {}),
      open() {
        asked++;
        return new Promise<never>(() => {});
      },
    };
    const forwards = new RemoteForwards(silent, machine.listen);
    const bind = TcpipForward.encode({ host: "localhost", port: 8080 });
    assert.equal(await forwards.answer("tcpip-forward", bind), true);
    for (let i = 0; i < 1030; i++) machine.visit(8080);
    await settle();
    assert.equal(asked, 1024);
  });

  test("what `listen` refuses is a failure", async () => {
    const machine = new Machine();
    const { asked } = client(machine);
    await assert.rejects(
      asked.ask({ kind: "unix", path: "/run/x" }, () => {}),
      (err) => Fault.is(err, "access_denied"),
    );
    await asked.ask(tcp(1), () => {});
    await assert.rejects(
      asked.ask(tcp(1), () => {}),
      /does not listen on localhost:1/,
    );
  });

  test("S44: one user cannot cancel the forward of another", async () => {
    const machine = new Machine();
    const alice = client(machine);
    const bob = client(machine);
    await alice.asked.ask(tcp(9000), (channel) => void shout(channel));
    assert.equal(await bob.asked.cancel(tcp(9000)), false);
    const visitor = machine.visit(9000);
    visitor.end("still here");
    assert.equal(Buffer.concat(await visitor.toArray()).toString(), "STILL HERE");
  });

  test("a connection that ends stops listening, also when it ends while `listen` works", async () => {
    const machine = new Machine();
    const { asked, connection } = client(machine);
    await asked.ask(tcp(7000), () => {});
    connection.disconnect();
    await settle();
    assert.equal(machine.ports.size, 0);

    const slow = new Machine();
    const { listen } = slow;
    const gate = Promise.withResolvers<void>();
    Object.assign(slow, {
      listen: (...args: Parameters<typeof listen>) => gate.promise.then(() => listen(...args)),
    });
    const late = client(slow);
    const asking = assert.rejects(late.asked.ask(tcp(7001), () => {}));
    await settle();
    late.connection.disconnect();
    await asking;
    await settle();
    gate.resolve();
    await settle();
    assert.equal(slow.ports.size, 0);
  });

  test("a server's channel for a forward nobody asked for is refused", async () => {
    const machine = new Machine();
    const { server, asked } = client(machine);
    await asked.ask(tcp(8080), () => {});
    const extra = ForwardedTcpip.encode({
      host: "localhost",
      port: 22,
      originatorHost: "192.0.2.7",
      originatorPort: 1,
    });
    await assert.rejects(server.open("forwarded-tcpip", extra), /not asked for/);
  });
});

test("splice closes the stream when the channel breaks off, and the channel when the stream does", async () => {
  for (const breakOff of ["channel", "stream"] as const) {
    const { client: near, server: far, ends } = connectionPair();
    const accepted = Promise.withResolvers<Channel>();
    far.onOpen((request) => accepted.resolve(request.accept()));
    const { channel } = await near.open("direct-tcpip");
    const [stream, other] = duplexPair();
    const joined = splice(channel, stream).catch((err: unknown) => err);
    if (breakOff === "channel") {
      ends.client.cut();
      assert.ok((await joined) instanceof Error);
      assert.ok(stream.destroyed);
    } else {
      stream.destroy(new Error("reset"));
      assert.ok((await joined) instanceof Error);
      await (await accepted.promise).closed;
    }
    other.destroy();
  }
});
