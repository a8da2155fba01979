import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { suite, test } from "node:test";
import { minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import type { CertAuthority } from "#model";
import { memorySockets } from "#net";
import { type ClientConnection, connect } from "#ssh";
import { DirectTcpip } from "#ssh/forward";
import { generateKey, type Signer } from "#ssh/keys";
import { type CertificateParts, type TestHosts, testHosts } from "../testing/clusters.ts";
import { Agents, type DialRequest, TunnelHub } from "./index.ts";

const ends = { remote: { host: "192.0.2.1", port: 40_000 }, local: { host: "192.0.2.9", port: 3024 } };
const somebody: DialRequest = { address: "db1:0", client_addr: "192.0.2.7:50022", certificate: "AAAA" };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(what: string, look: () => boolean): Promise<void> {
  for (let i = 0; i < 20_000; i++) {
    if (look()) return;
    await turn();
  }
  assert.fail(`without end: ${what}`);
}

/** One proxy of `main`: a hub over streams in memory. */
function hubOf(world: World, signer: Signer, learn: (cluster: string, text: string) => Promise<void>) {
  const hub = new TunnelHub({
    remotes: () => world.remotes,
    proxies: () => world.proxies,
    onChange: (listener) => {
      world.listeners.add(listener);
      return () => void world.listeners.delete(listener);
    },
    hostSigners: () => [signer],
    keepAlive: () => ({ every: 5 * minute, count: 3 }),
    statement: async () => "main says",
    learn,
    clock: world.clock,
    log: world.log,
  });
  const over = new AbortController();
  return {
    hub,
    stop: () => over.abort(),
    /** A stream of somebody who calls. */
    called(): Duplex {
      const [near, far] = memorySockets();
      far.on("error", () => {});
      near.on("error", () => {});
      void hub.handle(far, ends, over.signal);
      return near;
    },
  };
}

class World {
  readonly clock = new TestClock();
  readonly log = memoryLog();
  readonly listeners = new Set<() => void>();
  remotes: readonly CertAuthority[] = [];
  proxies: readonly string[] = [];
  changed(): void {
    for (const listener of this.listeners) listener();
  }
}

/** `main` with as many proxies as `ids`, and `east`, whose agents call one after another of them. */
async function linked({ ids = ["m1"], serve }: { ids?: string[]; serve?: ServeAs } = {}) {
  const world = new World();
  const { clock, log } = world;
  const [main, east] = await Promise.all([testHosts("main", clock), testHosts("east", clock)]);
  world.remotes = [east.authority];
  world.proxies = ids;
  const learnt: [string, string][] = [];
  const learn = async (cluster: string, text: string): Promise<void> => {
    learnt.push([cluster, text]);
    if (text.includes("bad")) throw new Fault("access_denied", "not signed");
  };
  const hubs = new Map<string, ReturnType<typeof hubOf>>();
  for (const id of ids) hubs.set(id, hubOf(world, await main.certify(id), learn));
  const calls: string[] = [];
  /** Which proxy the next call comes to; undefined: nobody answers. */
  let next = 0;
  const state = {
    down: false,
    only: undefined as string | undefined,
    authority: main.authority as CertAuthority | undefined,
    signer: await east.certify("e1"),
    statement: "east says",
    beats: true,
  };
  const renewed = new Set<() => void>();
  const leaving = new AbortController();
  const agents = new Agents({
    name: "e1.east",
    signers: () => [state.signer],
    target: "main",
    authority: () => state.authority,
    serve: async (request, signal) => (serve ?? echo)(request, signal),
    heartbeat: () => (state.beats ? 5 : 5000) * minute,
    statement: async () => state.statement,
    learn,
    dial: async () => {
      if (state.down) throw new Fault("unreachable", "cannot connect to main: connection refused");
      const id = state.only ?? ids[next++ % ids.length] ?? "";
      calls.push(id);
      return (hubs.get(id) ?? assert.fail(id)).called();
    },
    onRenewed: (listener) => {
      renewed.add(listener);
      return () => void renewed.delete(listener);
    },
    leaving: leaving.signal,
    random: { fraction: () => 0.5 },
    clock,
    log,
  });
  const stop = new AbortController();
  const done = agents.run(stop.signal, () => {});
  const hub = (id = "m1"): TunnelHub => hubs.get(id)?.hub ?? assert.fail(id);
  return {
    ...{ world, clock, log, main, east, hubs, hub, agents, calls, learnt, state, leaving, stop, done },
    renew: async () => {
      state.signer = await east.certify("e1");
      for (const listener of renewed) listener();
    },
    dial: (request: Partial<DialRequest> = {}, cluster = "east", signal = new AbortController().signal) =>
      hub().dial(cluster, { ...somebody, ...request }, signal),
    up: (count = 1) => until("tunnels that are up", () => agents.count === count && total(hubs) === count),
    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const one of hubs.values()) one.stop();
      await done;
    },
  };
}

type ServeAs = (request: DialRequest, signal: AbortSignal) => Promise<Duplex>;
const total = (hubs: ReadonlyMap<string, { hub: TunnelHub }>): number =>
  [...hubs.values()].reduce((sum, { hub }) => sum + hub.tunnels.length, 0);

/** Answers with what it was asked for, then with what it is sent. */
const echo: ServeAs = async (request) => {
  const [near, far] = memorySockets();
  far.write(`${request.address}\n`);
  far.on("error", () => {});
  far.on("data", (chunk) => far.write(chunk));
  far.on("end", () => far.end("end"));
  return near;
};

async function textOf(stream: Duplex): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

suite("a tunnel", () => {
  test("is kept, and connects to what is asked for; half-close passes both ways (PRX-08a)", async () => {
    await using t = await linked();
    await t.up();
    assert.deepEqual(
      t.hub().tunnels.map(({ peer }) => [peer.cluster, peer.hostId]),
      [["east", "e1"]],
    );
    const stream = await t.dial();
    stream.end("hello ");
    assert.equal(await textOf(stream), "db1:0\nhello end");
  });

  test("carries much at once, and no more than is read", async () => {
    const size = 8 * 1024 * 1024;
    let sent = 0;
    await using t = await linked({
      serve: async () => {
        const [near, far] = memorySockets();
        void (async () => {
          for (; sent < size; sent += 64 * 1024)
            if (!far.write(Buffer.alloc(64 * 1024, sent % 251)))
              await new Promise((go) => far.once("drain", go));
          far.end();
        })();
        return near;
      },
    });
    await t.up();
    const stream = await t.dial();
    for (let i = 0; i < 500; i++) await turn();
    assert.ok(sent < size, `${sent} bytes went before anybody read`);
    let got = 0;
    for await (const part of stream) got += (part as Buffer).length;
    assert.equal(got, size);
  });

  test("tells why the other end refuses, made harmless", async () => {
    await using t = await linked({
      serve: async () => {
        throw new Fault("access_denied", `no\u001b[2J role ${"x".repeat(3000)}`);
      },
    });
    await t.up();
    await assert.rejects(t.dial(), (err) => {
      assert.ok(Fault.is(err, "unreachable"));
      assert.match(err.message, /^no \[2J role x+$/);
      assert.ok(err.message.length <= 1024);
      return true;
    });
  });

  test("does not tell what is nobody's affair there", async () => {
    await using t = await linked({
      serve: async () => {
        throw new TypeError("x of undefined");
      },
    });
    await t.up();
    await assert.rejects(t.dial(), { message: "the other cluster's proxy failed; its log says why" });
    assert.ok(t.log.lines.some((line) => JSON.stringify(line).includes("x of undefined")));
  });

  test("gives a dial up that takes too long, or that nobody waits for any more", async () => {
    await using t = await linked({ serve: () => new Promise(() => {}) });
    await t.up();
    const late = assert.rejects(t.dial(), /did not answer within 30 s/);
    await until("the dial", () => t.clock.sleeping > 3);
    for (let i = 0; i < 200; i++) await turn();
    await t.clock.advance(30 * second);
    await late;
    const stop = new AbortController();
    const given = assert.rejects(t.dial({}, "east", stop.signal), /changed my mind/);
    stop.abort(new Error("changed my mind"));
    await given;
  });

  test("an unknown cluster is none, and one that has not called is not connected", async () => {
    await using t = await linked();
    await assert.rejects(t.dial({}, "west"), { kind: "not_found", message: 'unknown cluster "west"' });
    t.state.down = true;
    for (const one of t.hub().tunnels) one.end("off");
    const away = assert.rejects(t.dial(), { kind: "unreachable", message: /"east" is not connected/ });
    await t.clock.advance(5 * second);
    await away;
  });

  test("one that is about to call is waited for", async () => {
    await using t = await linked();
    const early = t.dial();
    await t.up();
    (await early).destroy();
  });

  test("what is said of authorities passes both ways; what is not believed is logged, and the tunnel goes on", async () => {
    await using t = await linked();
    await t.up();
    await until("both statements", () => t.learnt.length === 2);
    assert.deepEqual(t.learnt.toSorted(), [
      ["east", "east says"],
      ["main", "main says"],
    ]);
    t.state.statement = "bad east";
    // As often as they like: it is looked at once a second.
    for (let i = 0; i < 100; i++) await t.agents.tell();
    for (let i = 0; i < 100; i++) await turn();
    assert.equal(t.learnt.length, 2);
    await t.clock.advance(second);
    await until("the refusal", () =>
      t.log.lines.some((line) => JSON.stringify(line).includes("was not taken up")),
    );
    assert.equal(t.agents.count, 1);
    assert.equal(t.learnt.length, 3);
  });

  test("a dial that is given up is given up at the other end too, and leaves nothing", async () => {
    const given: AbortSignal[] = [];
    await using t = await linked({
      serve: (_request, signal) => {
        given.push(signal);
        return new Promise(() => {});
      },
    });
    await t.up();
    const stop = new AbortController();
    const dialled = assert.rejects(t.dial({}, "east", stop.signal), /changed my mind/);
    await until("the request", () => given.length === 1);
    stop.abort(new Error("changed my mind"));
    await dialled;
    await until("its end there", () => given[0]?.aborted === true);
  });
});

suite("S62: who calls can have nothing opened but heartbeats", () => {
  const call = async (t: Linked): Promise<ClientConnection> =>
    connect(
      {
        stream: (t.hubs.get("m1") ?? assert.fail()).called(),
        user: "e2.east",
        version: "Teleport",
        signers: [await t.east.certify("e2")],
        verifyHost: () => {},
        clock: t.clock,
        log: t.log,
      },
      t.stop.signal,
    );
  test("no session (TUN-07), no host, no transport, no listener", async () => {
    await using t = await linked();
    const connection = await call(t);
    await assert.rejects(connection.open("session"), /Cannot open new SSH session on reverse tunnel/);
    const at = { host: "127.0.0.1", port: 22, originatorHost: "127.0.0.1", originatorPort: 0 };
    await assert.rejects(connection.open("direct-tcpip", DirectTcpip.encode(at)), /no direct-tcpip channels/);
    await assert.rejects(connection.open("teleport-transport"), /no teleport-transport channels/);
    await assert.rejects(connection.open("teleport-discovery"), /no teleport-discovery channels/);
    assert.equal(await connection.request("tcpip-forward", new Uint8Array(), true), undefined);
    connection.disconnect();
  });
});
type Linked = Awaited<ReturnType<typeof linked>>;

suite("S32: who is let in as a proxy of a remote cluster", () => {
  const attempt = async (t: Linked, user: string, signer: Signer): Promise<ClientConnection> =>
    connect(
      {
        stream: (t.hubs.get("m1") ?? assert.fail()).called(),
        user,
        version: "Teleport",
        signers: [signer],
        verifyHost: () => {},
        clock: t.clock,
        log: t.log,
      },
      t.stop.signal,
    );
  const certified =
    (parts: CertificateParts, name = "east") =>
    (t: Linked, west: TestHosts) =>
      (name === "east" ? t.east : west).certify("e2", parts);
  test("one with a good certificate is", async () => {
    await using t = await linked();
    (await attempt(t, "e2.east", await t.east.certify("e2"))).disconnect();
  });
  for (const [why, user, signerOf] of [
    ["a plain key", "e2.east", async () => (await generateKey("ed25519")).signer()],
    ["a certificate for a user", "e2.east", certified({ type: "user" })],
    ["a node", "e2.east", certified({ role: "Node" })],
    ["an auth server", "e2.east", certified({ role: "Auth" })],
    ["one whose time is over", "e2.east", certified({ ends: -second })],
    ["one that calls itself another", "e3.east", certified({})],
    ["one that calls itself nothing", "", certified({})],
    ["a cluster that is not linked", "e2.west", certified({}, "west")],
    [
      "a cluster that is not linked, under the name of one that is",
      "e2.east",
      certified({ keyId: "e2.east" }, "west"),
    ],
    ["a linked one under another's name", "e2.west", certified({ keyId: "e2.west" })],
    ["one whose certificate names another cluster's host", "e2.east", certified({ keyId: "e2.west" })],
  ] as const) {
    test(`${why} is not`, async () => {
      await using t = await linked();
      const west = await testHosts("west", t.clock);
      await assert.rejects(attempt(t, user, await signerOf(t, west)), { kind: "access_denied" });
      assert.ok(t.hub().tunnels.every(({ peer }) => peer.hostId === "e1"));
    });
  }
});

suite("S30: whom an agent takes for a proxy of its target", () => {
  for (const [why, change] of [
    ["one that another cluster certified", async (_t: Linked, west: TestHosts) => west.certify("m1")],
    [
      "one that says it is the target's, by another authority",
      async (t: Linked, west: TestHosts) => west.certify("m1", { keyId: `m1.${t.main.name}` }),
    ],
    ["a node of the target", async (t: Linked) => t.main.certify("m1", { role: "Node" })],
    ["one whose time is over", async (t: Linked) => t.main.certify("m1", { ends: -second })],
    ["a plain key", async () => (await generateKey("ed25519")).signer()],
  ] as const) {
    test(`not ${why}`, async () => {
      await using t = await linked({ ids: [] });
      const west = await testHosts("west", t.clock);
      const signer = await change(t, west);
      t.hubs.set(
        "m1",
        hubOf(t.world, signer, async () => {}),
      );
      t.state.only = "m1";
      await t.clock.advance(minute);
      await until(
        "a refusal",
        () =>
          t.log.lines.filter((line) => JSON.stringify(line).includes("cannot connect to the trusted cluster"))
            .length > 1 || t.calls.length > 0,
      );
      for (let i = 0; i < 2000; i++) await turn();
      assert.equal(t.agents.count, 0);
      assert.deepEqual(t.learnt, [], "nothing was told");
    });
  }
});

suite("agents (TUN-04, TUN-14)", () => {
  test("reach every proxy that is announced, whichever a balancer leads to", async () => {
    await using t = await linked({ ids: ["m1", "m2", "m3"] });
    for (let i = 0; i < 20 && t.agents.count < 3; i++) {
      for (let j = 0; j < 300; j++) await turn();
      await t.clock.advance(5 * second);
    }
    await t.up(3);
    for (const id of ["m1", "m2", "m3"]) assert.equal(t.hub(id).tunnels.length, 1, id);
    const before = t.calls.length;
    await t.clock.advance(minute);
    for (let i = 0; i < 300; i++) await turn();
    assert.equal(t.calls.length, before, "nobody is called without need");
  });

  test("come to a proxy that is added, and leave one alone that is gone", async () => {
    await using t = await linked({ ids: ["m1", "m2"] });
    t.world.proxies = ["m1"];
    t.state.only = "m1";
    await t.up(1);
    t.state.only = undefined;
    t.world.proxies = ["m1", "m2"];
    t.world.changed();
    for (let i = 0; i < 20 && t.agents.count < 2; i++) {
      for (let j = 0; j < 300; j++) await turn();
      await t.clock.advance(5 * second);
    }
    await t.up(2);
    t.world.proxies = ["m1"];
    t.world.changed();
    t.state.only = "m1";
    (t.hubs.get("m2") ?? assert.fail()).stop();
    await t.up(1);
    const before = t.calls.length;
    for (let i = 0; i < 5; i++) await t.clock.advance(minute);
    assert.equal(t.calls.length, before);
  });

  test("call again after 1 s, 2 s, … 30 s, and say why once", async () => {
    await using t = await linked();
    await t.up();
    t.state.down = true;
    for (const one of t.hub().tunnels) one.end("off");
    await until("the loss", () => t.agents.count === 0);
    const told = (): number =>
      t.log.lines.filter((line) => JSON.stringify(line).includes("cannot connect to the trusted cluster"))
        .length;
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      await until("a pause", () => t.clock.sleeping > 0 && told() === 1);
      await t.clock.advance(seconds * second);
      for (let i = 0; i < 50; i++) await turn();
    }
    assert.equal(told(), 1);
    t.state.down = false;
    await t.clock.advance(30 * second);
    await t.up();
  });

  test("TUN-06: a heartbeat every interval; three that do not come end the tunnel", async () => {
    await using t = await linked();
    await t.up();
    const [tunnel] = t.hub().tunnels;
    const changes: number[] = [];
    t.hub().onTunnels(() => changes.push(t.hub().tunnels.length));
    await until("the heartbeat", () => t.clock.sleeping > 2);
    await t.clock.advance(5 * minute);
    await until("a heartbeat", () => tunnel?.heard === t.clock.uptime());
    assert.deepEqual(changes, [1]);
    t.state.beats = false;
    for (let i = 0; i < 22; i++) {
      await t.clock.advance(minute);
      for (let j = 0; j < 20; j++) await turn();
    }
    assert.ok(!t.hub().tunnels.includes(tunnel ?? assert.fail()));
  });

  test("TUN-15, TC-13: a cluster that is unlinked loses its tunnels, and what runs over them, at once", async () => {
    await using t = await linked();
    await t.up();
    const stream = await t.dial();
    stream.on("error", () => {});
    stream.resume();
    const closed = new Promise((resolve) => stream.once("close", resolve));
    t.world.remotes = [];
    t.world.changed();
    await closed;
    await until("the end", () => t.hub().tunnels.length === 0);
    await assert.rejects(t.dial(), { kind: "not_found" });
    for (let i = 0; i < 3; i++) {
      await t.clock.advance(30 * second);
      for (let j = 0; j < 300; j++) await turn();
    }
    assert.equal(t.agents.count, 0);
  });

  test("stopped, they end at once with what runs (TC-09)", async () => {
    await using t = await linked();
    await t.up();
    const stream = await t.dial();
    stream.on("error", () => {});
    stream.resume();
    const closed = new Promise((resolve) => stream.once("close", resolve));
    t.stop.abort();
    await t.done;
    await closed;
  });
});

suite("what runs goes on", () => {
  const stillRuns = async (stream: Duplex): Promise<void> => {
    stream.end("still");
    assert.equal(await textOf(stream), "db1:0\nstillend");
  };
  const changed = async (t: Linked): Promise<void> => {
    await until("a new tunnel beside the old one", () => {
      const leaving = t.hub().tunnels.map((one) => one.leaving);
      return leaving.length === 2 && leaving.includes(true) && leaving.includes(false);
    });
  };

  test("when an agent has another certificate", async () => {
    await using t = await linked();
    await t.up();
    const stream = await t.dial();
    await t.renew();
    await changed(t);
    await stillRuns(stream);
    await until("the end of the old one", () => t.hub().tunnels.length === 1);
  });

  test("when the authority that certified it is rotated out; nothing new is begun over it", async () => {
    await using t = await linked();
    await t.up();
    const stream = await t.dial();
    const next = await testHosts("east", t.clock);
    t.state.signer = await next.certify("e1");
    t.world.remotes = [next.authority];
    t.world.changed();
    await changed(t);
    await stillRuns(stream);
    await until("the end of the old one", () => t.hub().tunnels.length === 1);
    (await t.dial()).destroy();
  });

  test("when another process is to serve in the hub's place", async () => {
    await using t = await linked();
    await t.up();
    const stream = await t.dial();
    const after = hubOf(t.world, await t.main.certify("m1"), async () => {});
    const before = t.hub();
    t.hubs.set("m1", after);
    before.leave();
    await until("the call of the new process", () => after.hub.tunnels.length === 1);
    await stillRuns(stream);
    await until("the end of the old one", () => before.tunnels.length === 0);
    after.stop();
  });

  test("when another process is to call in the agents' place", async () => {
    await using t = await linked();
    await t.up();
    const stream = await t.dial();
    t.leaving.abort();
    await until("the word of it", () => t.hub().tunnels.every(({ leaving }) => leaving));
    const refused = assert.rejects(t.dial(), /is not connected/);
    await t.clock.advance(5 * second);
    await refused;
    await stillRuns(stream);
    await t.done;
  });
});
