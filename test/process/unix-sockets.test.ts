import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { type Account, Sockets } from "#helper";
import { eventually } from "../support/eventually.ts";

const root = process.getuid?.() === 0;
const asOther = root ? {} : { skip: "becoming another user needs root" };

suite("Unix sockets of a login", { timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "sockets-"));
  const home = mkdtempSync(join(dir, "home-"));
  const self: Account = {
    name: "self",
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    groups: [process.getgid?.() ?? 0],
    home,
    shell: "/bin/sh",
  };
  const someone: Account = root ? { ...self, name: "games", uid: 5, gid: 60, groups: [60, 29] } : self;
  const sockets = new Sockets({ clock: systemClock, uid: process.getuid?.() ?? 0 });
  before(() => {
    chmodSync(dir, 0o711);
    chownSync(home, someone.uid, someone.gid);
  });
  after(async () => {
    await sockets[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  /** The processes that open sockets for this one. */
  const servers = (): number[] =>
    readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("socket-server"))
      .map(Number);

  /** A server on a path of root's that answers in capitals once the other side has ended. */
  async function shouting(path: string) {
    const server = createServer({ allowHalfOpen: true }, async (socket) => {
      socket.end((await text(socket)).toUpperCase());
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return { [Symbol.dispose]: () => void server.close() };
  }

  test("are reached, half-close kept", async () => {
    const path = join(dir, "shout");
    using _ = await shouting(path);
    chmodSync(path, 0o666);
    const socket = await sockets.connect(someone, path);
    socket.end("hello");
    assert.equal(await text(socket), "HELLO");
  });

  test("that the login may not use are refused, and so is what is none", asOther, async () => {
    const path = join(dir, "closed");
    using _ = await shouting(path);
    chmodSync(path, 0o600);
    await refused(sockets.connect(someone, path), `cannot connect to ${path}: permission denied`);
    for (const [other, why] of [
      [join(dir, "missing"), "no such file or directory"],
      ["/etc/passwd", "permission denied"],
    ] as const)
      await refused(sockets.connect(someone, other), `cannot connect to ${other}: ${why}`);
  });

  test("are bound as the login, for it alone, and are gone afterwards", async () => {
    const path = join(home, "bound");
    const listening = await sockets.listen(someone, path, (visitor) => void answer(visitor));
    const { uid, gid, mode } = statSync(path);
    assert.deepEqual([uid, gid, mode & 0o777], [someone.uid, someone.gid, 0o600]);
    const visitor = connect({ path, allowHalfOpen: true });
    visitor.end("x");
    assert.equal(await text(visitor), "got x");
    await listening[Symbol.asyncDispose]();
    assert.equal(existsSync(path), false);
  });

  test("S53: are bound nowhere that the login could not, and replace nothing", asOther, async () => {
    await refused(
      sockets.listen(someone, join(dir, "no"), () => {}),
      `cannot listen on ${join(dir, "no")}: permission denied`,
    );
    const path = join(home, "taken");
    const first = await sockets.listen(someone, path, () => {});
    await refused(
      sockets.listen(someone, path, () => {}),
      `cannot listen on ${path}: something of that name is there`,
    );
    // The first is not disturbed, nor is one that took its place.
    renameSync(path, `${path}.old`);
    const second = await sockets.listen(someone, path, () => {});
    await first[Symbol.asyncDispose]();
    assert.equal(existsSync(path), true);
    await second[Symbol.asyncDispose]();
    assert.equal(existsSync(path), false);
  });

  test("have long paths when they are bound", async () => {
    const path = join(home, "n".repeat(90));
    await using _ = await sockets.listen(someone, path, () => {});
    assert.ok(existsSync(path));
  });

  test(
    "S55: are opened by a process with exactly the login's groups and no capability",
    asOther,
    async () => {
      const path = join(home, "status");
      await using _ = await sockets.listen(someone, path, () => {});
      const statuses = servers().map((pid) => readFileSync(`/proc/${pid}/status`, "utf8"));
      assert.equal(statuses.length, 1);
      const row = (key: string): string =>
        new RegExp(`^${key}:\\s*(.*?)\\s*$`, "m").exec(statuses[0] ?? "")?.[1] ?? "none";
      assert.equal(row("Uid"), "5\t5\t5\t5");
      assert.equal(row("Gid"), "60\t60\t60\t60");
      assert.deepEqual(row("Groups").split(" ").sort(), ["29", "60"]);
      for (const set of ["CapPrm", "CapEff", "CapAmb"]) assert.match(row(set), /^0+$/, set);
    },
  );

  test("a login that kills its process loses what it listened on, and gets another", async () => {
    const path = join(home, "killed");
    const listening = await sockets.listen(someone, path, () => {});
    for (const pid of servers()) process.kill(pid, "SIGKILL");
    const shout = join(dir, "shout-again");
    using _ = await shouting(shout);
    chmodSync(shout, 0o666);
    const socket = await eventually("another process", () =>
      sockets.connect(someone, shout).catch(() => undefined),
    );
    socket.end("hello");
    assert.equal(await text(socket), "HELLO");
    await listening[Symbol.asyncDispose]();
  });

  test("end with the daemon's use of them", async () => {
    const own = new Sockets({ clock: systemClock, uid: process.getuid?.() ?? 0 });
    const path = join(home, "last");
    await own.listen(someone, path, () => {});
    await own[Symbol.asyncDispose]();
    assert.equal(existsSync(path), false);
    await assert.rejects(own.connect(someone, path), /stopping/);
  });
});

/** Until the other side ends; iteration would close our side too. */
async function text(socket: Socket): Promise<string> {
  let all = "";
  socket.on("data", (chunk) => (all += String(chunk)));
  await new Promise((resolve) => socket.once("end", resolve));
  return all;
}

const answer = async (visitor: Socket): Promise<void> => void visitor.end(`got ${await text(visitor)}`);

const refused = (doing: Promise<unknown>, message: string): Promise<void> =>
  assert.rejects(doing, (err) => Fault.is(err, "unreachable") && err.message === message);
