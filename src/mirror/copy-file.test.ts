import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { MirrorChange } from "#contract/auth";
import { hour, minute, second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { Queue } from "#core/queue";
import { CertAuthority, ClusterConfig, Node, Role, User } from "#model";
import { CopyFile, Mirror } from "./index.ts";

const trusted = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n";
const put = (change: Omit<Extract<MirrorChange, { type: "put" }>, "type">): MirrorChange =>
  ({ type: "put", ...change }) as MirrorChange;
const state: readonly MirrorChange[] = [
  put({ kind: "cluster_config", value: ClusterConfig.parse({ cluster_id: "1", cluster_name: "main" }) }),
  put({
    kind: "cert_authority",
    value: CertAuthority.parse({
      kind: "cert_authority",
      version: "v2",
      metadata: { name: "main" },
      spec: {
        type: "host",
        cluster_name: "main",
        checking_keys: ["ssh-ed25519 x"],
        tls_key_pairs: [{ cert: trusted }],
      },
    }),
  }),
];
const user = (name: string): MirrorChange =>
  put({
    kind: "user",
    value: User.parse({ kind: "user", version: "v2", metadata: { name }, spec: { roles: [], traits: {} } }),
  });
const role = (name: string): MirrorChange =>
  put({ kind: "role", value: Role.parse({ kind: "role", version: "v3", metadata: { name }, spec: {} }) });
const node = (name: string): MirrorChange =>
  put({
    kind: "node",
    value: Node.parse({
      kind: "node",
      version: "v2",
      metadata: { name },
      spec: { hostname: name, addr: "10.0.0.1:3022", version: "5.0.0" },
    }),
  });

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};
/** Waits for what the disk does. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const late = performance.now() + 10_000;
  while (!(await holds())) {
    assert.ok(performance.now() < late, "did not come true");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface Process {
  readonly mirror: Mirror;
  readonly log: ReturnType<typeof memoryLog>;
  readonly ready: () => boolean;
  stop(): Promise<void>;
}

/** A data folder, and processes of a member on it, each with auth away or with what auth tells it. */
async function member() {
  const folder = await mkdtemp(join(tmpdir(), "mirror-"));
  const path = join(folder, "cache", "node.jsonl");
  const clock = new TestClock();
  function start(
    watch: Queue<MirrorChange> | undefined,
    { ttl = 20 * hour, ca = trusted }: { ttl?: number; ca?: string } = {},
  ): Process {
    const log = memoryLog();
    const stop = new AbortController();
    let ready = false;
    const mirror = new Mirror({
      client: {
        "mirror.watch": (_input: unknown, signal?: AbortSignal) => {
          if (!watch) throw new Fault("unreachable", "connection refused");
          signal?.addEventListener("abort", () => watch.end(), { once: true });
          return watch;
        },
      },
      clock,
      log,
      ttl,
      kept: { file: new CopyFile(path), trusted: () => [ca] },
    });
    const done = mirror.run(stop.signal, () => {
      ready = true;
    });
    return {
      mirror,
      log,
      ready: () => ready,
      async stop() {
        stop.abort();
        await done;
      },
    };
  }
  /** Runs a process that hears `changes`, to the end of its first save. */
  async function live(
    ...changes: readonly MirrorChange[]
  ): Promise<Process & { watch: Queue<MirrorChange> }> {
    const watch = new Queue<MirrorChange>();
    for (const change of [{ type: "reset" }, ...state, ...changes, { type: "live" }] as const)
      watch.push(change);
    const process = start(watch);
    await turns();
    await clock.advance(1 * second);
    await until(() =>
      stat(path).then(
        () => true,
        () => false,
      ),
    );
    return Object.assign(process, { watch });
  }
  const alone = async (options: { ttl?: number; ca?: string } = {}): Promise<Process> => {
    const process = start(undefined, options);
    await turns();
    await clock.advance(2 * second);
    await until(() => process.ready() || process.log.lines.some(({ message }) => /not used/.test(message)));
    return process;
  };
  return {
    path,
    clock,
    live,
    alone,
    start,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

suite("the copy on disk", () => {
  test("OVW-36: a member that starts while auth is away answers from what it had", async () => {
    await using host = await member();
    await (await host.live(user("joe"), role("admin"), node("db"))).stop();
    const { mirror, stop } = await host.alone();
    assert.equal(mirror.connected, false);
    assert.equal(mirror.config().cluster_name, "main");
    assert.equal(mirror.authorities("host").length, 1);
    assert.ok(mirror.user("joe"));
    assert.ok(mirror.role("admin"));
    assert.equal(mirror.nodes()[0]?.metadata.name, "db");
    await stop();
  });

  test("is the daemon's alone, whatever the umask, and a save leaves nothing else behind", async () => {
    const umask = process.umask(0);
    try {
      await using host = await member();
      await (await host.live()).stop();
      assert.equal((await stat(host.path)).mode & 0o777, 0o600);
      assert.equal((await stat(join(host.path, ".."))).mode & 0o777, 0o700);
      assert.deepEqual(await readdir(join(host.path, "..")), ["node.jsonl"]);
    } finally {
      process.umask(umask);
    }
  });

  test("a deleted user is gone from it after a second, a machine after a minute, and beats write nothing", async () => {
    await using host = await member();
    const running = await host.live(user("joe"), node("db"));
    const text = (): Promise<string> => readFile(host.path, "utf8");
    running.watch.push({ type: "delete", kind: "user", name: "joe" });
    const beats = async (seconds: number): Promise<void> => {
      for (let i = 0; i < seconds; i++) {
        running.watch.push({ type: "beat" });
        await turns();
        await host.clock.advance(1 * second);
      }
    };
    /** A save may still be under way when its time comes again: then it is the next second's. */
    const soon = async (holds: () => Promise<boolean>): Promise<void> => {
      await until(async () => {
        await beats(1);
        return holds();
      });
    };
    await soon(async () => !(await text()).includes('"joe"'));
    const before = (await stat(host.path)).ino;
    running.watch.push({ type: "delete", kind: "node", name: "db" });
    await beats(50);
    assert.equal((await stat(host.path)).ino, before);
    await soon(async () => !(await text()).includes('"db"'));
    await running.stop();
  });

  test("what changed in the last second is saved at a clean stop", async () => {
    await using host = await member();
    const running = await host.live(user("joe"));
    running.watch.push({ type: "delete", kind: "user", name: "joe" });
    await turns();
    await running.stop();
    assert.doesNotMatch(await readFile(host.path, "utf8"), /"joe"/);
  });

  test("CFG-23: one older than the ttl is not used", async () => {
    await using host = await member();
    await (await host.live()).stop();
    await host.clock.advance(20 * hour - 10 * second);
    await (await host.alone()).stop();
    await host.clock.advance(20 * second);
    const late = await host.alone();
    assert.equal(late.ready(), false);
    assert.throws(() => late.mirror.config(), /not known yet/);
    assert.match(String(late.log.lines.find(({ fields }) => /ttl/.test(String(fields.error)))), /./);
    await late.stop();
    const never = await host.alone({ ttl: Number.POSITIVE_INFINITY });
    assert.equal(never.ready(), true);
    await never.stop();
  });

  test("CFG-23: nor is the one in memory, once auth has been away for so long", async () => {
    await using host = await member();
    const running = await host.live(user("joe"));
    running.watch.end(new Fault("unreachable", "gone"));
    await turns();
    assert.ok(running.mirror.user("joe"));
    await host.clock.advance(20 * hour + minute);
    assert.equal(running.mirror.user("joe"), undefined);
    assert.throws(
      () => running.mirror.config(),
      (err) => Fault.is(err, "unreachable") && /cache\.ttl/.test(err.message),
    );
    await running.stop();
  });

  for (const [why, damage, sentence] of [
    ["cut off", (text: string) => text.slice(0, -40), /damaged/],
    [
      "cut off at a line",
      (text: string) => text.slice(0, text.lastIndexOf("\n", text.length - 2) + 1),
      /damaged/,
    ],
    ["with a flipped byte", (text: string) => text.replace('"kind"', '"kinq"'), /damaged/],
    ["empty", () => "", /damaged/],
    [
      "of a newer version",
      (text: string) => text.replace('"format":1', '"format":2'),
      /format 2, this program knows up to 1/,
    ],
  ] as const) {
    test(`one ${why} is passed over with a sentence, and made anew when auth is back`, async () => {
      await using host = await member();
      await (await host.live(user("joe"))).stop();
      const good = await readFile(host.path, "utf8");
      await writeFile(host.path, damage(good));
      const { ready, log, stop } = await host.alone();
      assert.equal(ready(), false);
      assert.match(String(log.lines.at(-1)?.fields.error), sentence);
      await stop();
      await (await host.live(user("joe"))).stop();
      assert.match(await readFile(host.path, "utf8"), /"format":1.*\n[\s\S]*"joe"/);
    });
  }

  test("one of another cluster is passed over", async () => {
    await using host = await member();
    await (await host.live()).stop();
    const { ready, log, stop } = await host.alone({ ca: "another" });
    assert.equal(ready(), false);
    assert.match(String(log.lines.at(-1)?.fields.error), /another cluster/);
    await stop();
  });

  test("what auth tells wins over it, and drafts of dead processes are cleared away", async () => {
    await using host = await member();
    await (await host.live(user("joe"))).stop();
    const draft = `${host.path}.4242.tmp`;
    await writeFile(draft, "half");
    await utimes(draft, 1, 1);
    const watch = new Queue<MirrorChange>();
    const process = host.start(watch);
    await turns();
    await host.clock.advance(2 * second);
    await until(() => process.ready());
    assert.ok(process.mirror.user("joe"));
    for (const change of [{ type: "reset" }, ...state, { type: "live" }] as const) watch.push(change);
    await turns();
    assert.equal(process.mirror.user("joe"), undefined);
    assert.equal(process.mirror.connected, true);
    await process.stop();
    assert.deepEqual(await readdir(join(host.path, "..")), ["node.jsonl"]);
  });
});
