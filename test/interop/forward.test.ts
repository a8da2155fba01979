import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { AuditEvent } from "#events";
import { AskedForwards, DirectStreamlocal, DirectTcpip } from "#ssh/forward";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/port.ts";
import { run } from "../support/run.ts";
import { ask, closed, pour, reached, serve, shouting, sum, sumOf, text } from "../support/sockets.ts";
import { type ANode, startNode } from "./a-node.ts";
import { withoutOpenSsh } from "./openssh.ts";

const root = process.getuid?.() === 0;
const asOther = root ? {} : { skip: "becoming another user needs root" };

suite("forwarding by a node, for stock ssh", { timeout: 120_000, skip: withoutOpenSsh }, () => {
  let node: ANode;
  before(async () => {
    node = await startNode();
  });
  after(() => node[Symbol.asyncDispose]());

  for (const local of ["tcp", "unix"] as const) {
    for (const far of ["tcp", "unix"] as const) {
      test(`-L from ${local} to ${far}: bytes, half-close and all, and a record`, async () => {
        node.events.length = 0;
        await using shouting = await shoutingServer(node, far);
        const entrance = await placeHere(node, local);
        await using _ = await master(node, ["-L", `${entrance}:${shouting.name}`]);
        assert.equal(await ask(entrance, "hello"), "HELLO");
        const told = far === "tcp" ? { addr: shouting.name } : { path: shouting.name, direction: "local" };
        await event(node, { code: far === "tcp" ? "T3003I" : "T4033I", ...told });
      });

      test(`-R from ${local} on the node to ${far}: likewise, and nothing is left when the client is gone`, async () => {
        node.events.length = 0;
        await using shouting = await shoutingServer(node, far);
        const entrance = local === "tcp" ? `127.0.0.1:${await freePort()}` : join(node.home, `r-${far}`);
        const client = await master(node, ["-R", `${entrance}:${shouting.name}`]);
        const told = local === "tcp" ? { addr: entrance } : { path: entrance, direction: "remote" };
        await event(node, { code: local === "tcp" ? "T4032I" : "T4033I", ...told });
        if (local === "unix") {
          const { uid, mode } = statSync(entrance);
          assert.deepEqual([uid, mode & 0o777], [node.login.uid, 0o600]);
        }
        assert.equal(await ask(entrance, "hello"), "HELLO");
        assert.equal(await ask(entrance, "again"), "AGAIN");
        // Not asked to leave: killed.
        client.child.kill("SIGKILL");
        await closed(entrance);
        if (local === "unix") assert.equal(existsSync(entrance), false);
        await client[Symbol.asyncDispose]();
      });
    }
  }

  for (const side of ["-L", "-R"] as const) {
    for (const kind of ["tcp", "unix"] as const) {
      test(`the end of the target's half leaves the other open: ${side}, ${kind}`, async () => {
        const got = Promise.withResolvers<string>();
        await using source = await serve(
          kind === "tcp" ? undefined : join(node.home, `e${made++}`),
          (socket) => {
            socket.end("first");
            got.resolve(text(socket));
          },
        );
        const entrance =
          side === "-L" || kind === "tcp" ? `127.0.0.1:${await freePort()}` : join(node.home, `x${made++}`);
        await using _ = await master(node, [side, `${entrance}:${source.name}`]);
        const socket = await eventually("an entrance", () => reached(entrance));
        assert.equal(await text(socket), "first");
        socket.end("and last");
        assert.equal(await got.promise, "and last");
      });
    }
  }

  test("-R 0: answers the port it chose, and lets it be cancelled", async () => {
    await using shouting = await shoutingServer(node, "tcp");
    await using client = await master(node, []);
    const { out, code } = await client.control("forward", "-R", `0:${shouting.name}`);
    assert.equal(code, 0);
    assert.match(out, /^\d+\n$/);
    const entrance = `127.0.0.1:${out.trim()}`;
    assert.equal(await ask(entrance, "hello"), "HELLO");
    assert.equal(await ask(`::1:${out.trim()}`, "hello"), "HELLO");
    await event(node, { code: "T4032I", addr: `localhost:${out.trim()}`, success: true });
    await using second = await master(node, []);
    assert.notEqual((await second.control("forward", "-R", `${out.trim()}:${shouting.name}`)).code, 0);
    assert.equal((await client.control("cancel", "-R", `0:${shouting.name}`)).code, 0);
    await closed(entrance);
  });

  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  test("-R listens on the loopback addresses, and on others only when it is told to", {
    skip: outside === undefined && "this machine has loopback only",
  }, async () => {
    await using shouting = await shoutingServer(node, "tcp");
    const ports = await Promise.all(Array.from({ length: 4 }, freePort));
    const [plain, all, one, v4] = ports as [number, number, number, number];
    await using _ = await master(
      node,
      [`${plain}`, `*:${all}`, `${outside}:${one}`, `0.0.0.0:${v4}`].flatMap((where) => [
        "-R",
        `${where}:${shouting.name}`,
      ]),
    );
    for (const host of ["127.0.0.1", "::1"]) assert.equal(await ask(`${host}:${plain}`, "in"), "IN");
    for (const host of ["127.0.0.1", "::1", outside]) assert.equal(await ask(`${host}:${all}`, "in"), "IN");
    for (const port of [one, v4]) assert.equal(await ask(`${outside}:${port}`, "in"), "IN");
    for (const place of [`${outside}:${plain}`, `127.0.0.1:${one}`, `::1:${v4}`])
      assert.equal(await reached(place), undefined, place);
  });

  test("forwards come and go on a connection: ssh -O forward, ssh -O cancel", async () => {
    await using shouting = await shoutingServer(node, "tcp");
    await using client = await master(node, []);
    const places = [`127.0.0.1:${await freePort()}`, join(node.home, "come-and-go")];
    for (const place of places) {
      const forward = ["-R", `${place}:${shouting.name}`];
      for (const _ of ["once", "and again"]) {
        assert.equal((await client.control("forward", ...forward)).code, 0);
        assert.equal(await ask(place, "hello"), "HELLO");
        assert.equal((await client.control("cancel", ...forward)).code, 0);
        await closed(place);
      }
    }
  });

  test("-D, and -R with no target: SOCKS, by the node or by the client", async () => {
    await using shouting = await shoutingServer(node, "tcp");
    const [near, far] = [await freePort(), await freePort()];
    await using _ = await master(node, ["-D", `127.0.0.1:${near}`, "-R", String(far)]);
    await event(node, { code: "T4032I", addr: `localhost:${far}` });
    for (const port of [near, far])
      assert.equal(await ask(`127.0.0.1:${port}`, "socks", { through: shouting.name }), "SOCKS");
  });

  test("a port that is taken: a failure for that client, a record, and no harm to who has it", async () => {
    await using shouting = await shoutingServer(node, "tcp");
    const port = shouting.name.split(":")[1] as string;
    node.events.length = 0;
    const forward = ["-R", `127.0.0.1:${port}:127.0.0.1:1`, node.target, "echo on"];
    const strict = await node.ssh(["-o", "ExitOnForwardFailure=yes", ...forward]);
    assert.equal(strict.code, 255);
    assert.match(strict.err, new RegExp(`remote port forwarding failed for listen port ${port}`));
    await event(node, { code: "T4032E", addr: `127.0.0.1:${port}`, success: false });
    assert.equal((await node.event("T4032E")).error, `cannot listen on 127.0.0.1:${port}: the port is taken`);
    const lenient = await node.ssh(forward);
    assert.deepEqual([lenient.code, lenient.out], [0, "on\n"]);
    assert.equal(await ask(shouting.name, "hello"), "HELLO");
  });

  test("what is there already is no place for a socket, and stays", async () => {
    const path = join(node.home, "precious");
    await writeFile(path, "precious");
    const got = await node.ssh(["-o", "ExitOnForwardFailure=yes", "-R", `${path}:127.0.0.1:1`, node.target]);
    assert.equal(got.code, 255);
    assert.equal(await readFile(path, "utf8"), "precious");
    await event(node, {
      code: "T4033E",
      path,
      direction: "remote",
      error: `cannot listen on ${path}: something of that name is there`,
    });
  });

  test("S53: a Unix socket is opened and bound with the login's rights only", asOther, async () => {
    const path = join(node.dir, "of-root");
    await using _ = await shoutingServer(node, "unix", path);
    await chmod(path, 0o600);
    const there = await node.connect();
    await assert.rejects(there.open("direct-streamlocal@openssh.com", socketAt(path)), /permission denied/);
    await event(node, { code: "T4033E", path, direction: "local" });
    const other = join(node.dir, "by-nobody");
    const asked = new AskedForwards(there);
    await assert.rejects(
      asked.ask({ kind: "unix", path: other }, () => {}),
      /does not listen/,
    );
    await event(node, { code: "T4033E", path: other, direction: "remote" });
    assert.equal(existsSync(other), false);
    there.disconnect();
  });

  test("only root may have the ports that people believe in", asOther, async () => {
    const there = await node.connect();
    const asked = new AskedForwards(there);
    await assert.rejects(asked.ask({ kind: "tcp", host: "127.0.0.1", port: 1023 }, () => {}));
    await event(node, { code: "T4032E", addr: "127.0.0.1:1023", error: "ports below 1024 are for root" });
    there.disconnect();
  });

  test("what is no port and no path is refused", async () => {
    const there = await node.connect();
    const asked = new AskedForwards(there);
    for (const bind of [
      { kind: "tcp", host: "127.0.0.1", port: 70_000 },
      { kind: "tcp", host: "192.0.2.1", port: 0 },
      { kind: "unix", path: "relative" },
      { kind: "unix", path: "\0abstract" },
    ] as const)
      await assert.rejects(asked.ask(bind, () => {}));
    for (const path of ["relative", "\0abstract", ""])
      await assert.rejects(there.open("direct-streamlocal@openssh.com", socketAt(path)), /no address/);
    there.disconnect();
  });

  test("a connection has 128 forwards and no more, and takes them along", async () => {
    const there = await node.connect();
    const asked = new AskedForwards(there);
    const ask128 = Array.from({ length: 128 }, () =>
      asked.ask({ kind: "tcp", host: "127.0.0.1", port: 0 }, () => {}),
    );
    const binds = await Promise.all(ask128);
    await assert.rejects(asked.ask({ kind: "tcp", host: "127.0.0.1", port: 0 }, () => {}));
    await event(node, { code: "T4032E", error: "128 forwards are open on this connection" });
    there.disconnect();
    for (const bind of binds) if (bind.kind === "tcp") await closed(`127.0.0.1:${bind.port}`);
  });

  test("S44: a user cannot cancel the forward of another, whose works on", async () => {
    await using shouting = await shoutingServer(node, "tcp");
    const [port, path] = [await freePort(), join(node.home, "of-a")];
    await using _ = await master(node, [
      ...["-R", `127.0.0.1:${port}:${shouting.name}`],
      ...["-R", `${path}:${shouting.name}`],
    ]);
    await event(node, { code: "T4032I", addr: `127.0.0.1:${port}` });
    await event(node, { code: "T4033I", path });
    const bob = await node.connect();
    const asked = new AskedForwards(bob);
    assert.equal(await asked.cancel({ kind: "tcp", host: "127.0.0.1", port }), false);
    assert.equal(await asked.cancel({ kind: "unix", path }), false);
    bob.disconnect();
    assert.equal(await ask(`127.0.0.1:${port}`, "still here"), "STILL HERE");
    assert.equal(await ask(path, "still here"), "STILL HERE");
  });

  test("S38: no way to forward where the roles do not allow it, and a record of each try", async () => {
    await using strict = await startNode({
      role: { options: { port_forwarding: false }, allow: { logins: [node.login.name] } },
    });
    await using shouting = await shoutingServer(strict, "tcp");
    await using socket = await shoutingServer(strict, "unix");
    const there = await strict.connect();
    const [host, port] = shouting.name.split(":") as [string, string];
    const extra = DirectTcpip.encode({ host, port: Number(port), originatorHost: "", originatorPort: 0 });
    await assert.rejects(there.open("direct-tcpip", extra), /port forwarding not allowed/);
    await assert.rejects(there.open("direct-streamlocal@openssh.com", socketAt(socket.name)), /not allowed/);
    const asked = new AskedForwards(there);
    await assert.rejects(asked.ask({ kind: "tcp", host: "", port: 0 }, () => {}));
    const path = join(strict.home, "no");
    await assert.rejects(asked.ask({ kind: "unix", path }, () => {}));
    assert.equal(existsSync(path), false);
    there.disconnect();
    const error =
      "port forwarding not allowed: role dev has port_forwarding switched off, and no other role of the user has it on";
    await event(strict, { code: "T3003E", addr: shouting.name, error });
    await event(strict, { code: "T4033E", path: socket.name, direction: "local", error });
    await event(strict, { code: "T4032E", addr: ":0", error });
    await event(strict, { code: "T4033E", path, direction: "remote", error });
    assert.equal((await strict.ssh(["-R", "0:127.0.0.1:1", strict.target, "echo in"])).out, "in\n");
  });

  for (const side of ["-L", "-R"] as const) {
    test(`100 MiB each way through ${side}, intact`, async () => {
      const block = randomBytes(1 << 20);
      const there = Promise.withResolvers<string>();
      await using source = await serve(undefined, async (socket) => {
        sum(socket).then(there.resolve, there.reject);
        await pour(socket, block, 100);
        socket.end();
      });
      const entrance = `127.0.0.1:${await freePort()}`;
      await using _ = await master(node, [side, `${entrance}:${source.name}`]);
      const socket = await eventually("an entrance", () => reached(entrance));
      const got = sum(socket);
      await pour(socket, block, 100);
      socket.end();
      const want = sumOf(block, 100);
      assert.deepEqual([await got, await there.promise], [want, want]);
    });
  }

  test("ssh -f -N stays behind with its forwards, and goes when it is told to", async () => {
    await using shouting = await shoutingServer(node, "tcp");
    const [control, entrance] = [join(node.dir, "background"), `127.0.0.1:${await freePort()}`];
    const background = ["-f", "-N", "-M", "-S", control, "-o", "ExitOnForwardFailure=yes"];
    const got = await node.ssh([
      ...background,
      "-E",
      "/dev/null",
      "-R",
      `${entrance}:${shouting.name}`,
      node.target,
    ]);
    assert.equal(got.code, 0);
    assert.equal(await ask(entrance, "hello"), "HELLO");
    const left = await run("ssh", ["-F", "none", "-S", control, "-O", "exit", node.target]);
    assert.equal(left.code, 0, left.err);
    await closed(entrance);
  });

  test("ControlMaster: 60 sessions at a time over one connection, each with its own locale", async () => {
    const control = join(node.dir, "many");
    const sent = ["-o", "SendEnv=LANG LC_*"];
    await using _ = await master(node, sent, { control });
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        node.ssh(["-S", control, ...sent, node.target, "echo $LC_MINE; cat; exit 7"], {
          input: `input ${i}`,
          env: { LC_MINE: `mine ${i}` },
        }),
      ),
    );
    assert.deepEqual(
      results.map(({ code, out }) => [code, out]),
      Array.from({ length: 60 }, (_, i) => [7, `mine ${i}\ninput ${i}`]),
    );
  });
});

const shoutingServer = (node: ANode, kind: "tcp" | "unix", path = join(node.home, `s${made++}`)) =>
  shouting(kind === "tcp" ? undefined : path);

let made = 0;

/** A path or a port of 127.0.0.1 that is free. */
const placeHere = async (node: ANode, kind: "tcp" | "unix"): Promise<string> =>
  kind === "tcp" ? `127.0.0.1:${await freePort()}` : join(node.dir, `l${made++}`);

/** Waits for an event with these fields. */
const event = (node: ANode, fields: Partial<Record<string, unknown>>): Promise<AuditEvent> =>
  eventually(`the event ${JSON.stringify(fields)} among ${JSON.stringify(node.events)}`, () =>
    node.events.find((one) =>
      Object.entries(fields).every(([key, value]) => (one as Record<string, unknown>)[key] === value),
    ),
  );

/** `ssh -N` with a control socket. */
async function master(node: ANode, args: readonly string[], { control = join(node.dir, `c${made++}`) } = {}) {
  const child = node.start([
    ...["-N", "-M", "-S", control, "-o", "ExitOnForwardFailure=yes"],
    ...args,
    node.target,
  ]);
  let err = "";
  child.stderr?.on("data", (chunk) => (err += String(chunk)));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await eventually("a control socket", () => {
    if (child.exitCode !== null) throw new Error(`ssh ended: ${err}`);
    return existsSync(control);
  });
  return {
    child,
    control: (...words: string[]) => run("ssh", ["-F", "none", "-S", control, "-O", ...words, node.target]),
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}

const socketAt = (path: string): Uint8Array =>
  DirectStreamlocal.encode({ path, reservedText: "", reservedNumber: 0 });
