import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import type { AuditEvent, Draft } from "#events";
import { AuditSender, EventSpool } from "./index.ts";

const id = "0b8f1d5e-32c8-4a9a-9e59-0d9f6d9f1e11";
const draft = (user: string): Draft => ({
  code: "T3007W",
  user,
  server_id: id,
  success: "false",
  error: "no",
  "addr.remote": "10.0.0.1:1",
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits for what the disk does. */
async function until(holds: () => boolean): Promise<void> {
  const late = performance.now() + 10_000;
  while (!holds()) {
    assert.ok(performance.now() < late, "did not come true");
    await turn();
  }
}
const nameOf = (event: AuditEvent): string => ("user" in event ? String(event.user) : "");

interface Call {
  readonly names: string[];
  readonly uids: string[];
  readonly again: boolean | undefined;
}
type Answer = (call: Call, signal: AbortSignal | undefined) => void | Promise<void>;

interface Process {
  readonly sender: AuditSender;
  readonly spool: EventSpool;
  readonly log: ReturnType<typeof memoryLog>;
  /** A clean end. */
  stop(): Promise<void>;
  /** As a kill -9: it never does anything again. */
  die(): void;
}

/** A host, and the processes on its data folder one after the other. */
async function host() {
  const folder = await mkdtemp(join(tmpdir(), "events-"));
  const clock = new TestClock();
  const living = new Set<string>();
  const running: Process[] = [];
  function start(answer: Answer, { limit }: { limit?: number } = {}): Process {
    const log = memoryLog();
    const mark = `process ${living.size + running.length}`;
    living.add(mark);
    let dead = false;
    const never = new Promise<never>(() => {});
    const spool = new EventSpool(folder, {
      owner: { mark, lives: (other) => living.has(other) },
      clock,
      random: systemRandom,
      log,
      ...(limit !== undefined && { limit }),
    });
    const sender = new AuditSender({
      client: {
        "audit.emit": async ({ events, again }, signal) => {
          if (dead) return never;
          const list = events as AuditEvent[];
          await answer({ names: list.map(nameOf), uids: list.map(({ uid }) => uid), again }, signal);
        },
      },
      spool,
      clock,
      random: systemRandom,
      log,
    });
    const end = new AbortController();
    const done = sender.run(end.signal, () => {});
    const process: Process = {
      sender,
      spool,
      log,
      async stop() {
        end.abort();
        if (!dead) await done;
        living.delete(mark);
      },
      die() {
        dead = true;
        living.delete(mark);
      },
    };
    running.push(process);
    return process;
  }
  return {
    folder,
    clock,
    start,
    /** Lets time go by until it holds. */
    async soon(holds: () => boolean) {
      const late = performance.now() + 10_000;
      while (!holds()) {
        assert.ok(performance.now() < late, "did not come true");
        for (let j = 0; j < 10 && !holds(); j++) await turn();
        await clock.advance(second);
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(running.map((process) => process.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

suite("audit sender", () => {
  test("what came while a batch was under way goes together in the next, and nothing is written here", async () => {
    await using h = await host();
    const batches: string[][] = [];
    const { sender } = h.start(({ names }) => void batches.push(names));
    await Promise.all([sender.emit(draft("a")), sender.emit(draft("b")), sender.emit(draft("c"))]);
    assert.deepEqual(batches.flat(), ["a", "b", "c"]);
    assert.ok(batches.length <= 2);
    assert.deepEqual(await readdir(h.folder), []);
  });

  test("while auth is away an event is acknowledged when it is on disk; later all arrive, once and in order", async () => {
    await using h = await host();
    let away = true;
    const got: string[] = [];
    const { sender, spool } = h.start(({ names }) => {
      if (away) throw new Fault("unreachable", "connection refused");
      got.push(...names);
    });
    await sender.emit(draft("a"));
    await Promise.all([sender.emit(draft("b")), sender.emit(draft("c"))]);
    assert.deepEqual(got, []);
    away = false;
    await h.soon(() => spool.empty);
    await sender.emit(draft("d"));
    await h.soon(() => got.length === 4);
    assert.deepEqual(got, ["a", "b", "c", "d"]);
  });

  test("they arrive over a kill -9 too, and those behind them wait for them", async () => {
    await using h = await host();
    const first = h.start(() => {
      throw new Fault("unreachable", "connection refused");
    });
    for (const name of ["a", "b", "c"]) await first.sender.emit(draft(name));
    first.die();
    const got: string[] = [];
    const second = h.start(({ names }) => void got.push(...names));
    await second.sender.emit(draft("d"));
    await until(() => second.spool.empty && got.length >= 4);
    assert.deepEqual(got, ["a", "b", "c", "d"]);
    await second.stop();
    assert.deepEqual(await readdir(h.folder), []);
  });

  test("a batch whose answer was lost is sent again as such, also by a later process", async () => {
    await using h = await host();
    const kept = new Map<string, string>();
    const calls: Call[] = [];
    let lose = true;
    const answer: Answer = (call) => {
      calls.push(call);
      for (const [i, uid] of call.uids.entries()) {
        assert.ok(call.again || !kept.has(uid), "twice, and not said");
        kept.set(uid, call.names[i] ?? "");
      }
      if (lose) throw new Fault("unreachable", "lost the connection");
    };
    const first = h.start(answer);
    await first.sender.emit(draft("a"));
    await first.sender.emit(draft("b"));
    first.die();
    lose = false;
    const second = h.start(answer);
    await until(() => second.spool.empty && calls.length >= 3);
    assert.deepEqual([...kept.values()], ["a", "b"]);
    // What was never on its way is not looked for.
    assert.deepEqual(calls.map(({ names, again }) => [names.join(), again]).at(-1), ["b", false]);
  });

  test("an auth server that does not answer is as one that is away", async () => {
    await using h = await host();
    let silent = true;
    const got: string[] = [];
    const { sender, spool } = h.start(async ({ names, again }) => {
      if (silent) return new Promise<void>(() => {});
      got.push(`${names} ${again}`);
    });
    let acknowledged = false;
    void sender.emit(draft("a")).then(() => {
      acknowledged = true;
    });
    await h.soon(() => acknowledged);
    silent = false;
    await h.soon(() => spool.empty);
    assert.deepEqual(got, ["a true"]);
  });

  test("what a living process has on disk is its own", async () => {
    await using h = await host();
    const refuse: Answer = () => {
      throw new Fault("unreachable", "away");
    };
    const old = h.start(refuse);
    await old.sender.emit(draft("old"));
    const got: string[] = [];
    const young = h.start(({ names }) => void got.push(...names));
    await young.sender.emit(draft("young"));
    assert.deepEqual(got, ["young"]);
    old.die();
    await h.soon(() => got.length === 2);
    assert.deepEqual(got, ["young", "old"]);
  });

  test("a refused event is its sender's error and holds up nobody", async () => {
    await using h = await host();
    const { sender } = h.start(({ names }) => {
      if (names.includes("bad")) throw new Fault("access_denied", "not yours");
    });
    await assert.rejects(sender.emit(draft("bad")), (err) => Fault.is(err, "access_denied"));
    await sender.emit(draft("good"));
  });

  test("one that is refused after it was acknowledged is set aside, and the operator told where", async () => {
    await using h = await host();
    let away = true;
    const got: string[] = [];
    const { sender, spool, log } = h.start(({ names }) => {
      if (away) throw new Fault("unreachable", "away");
      if (names.includes("bad")) throw new Fault("bad_parameter", "no such event");
      got.push(...names);
    });
    await sender.emit(draft("x"));
    await Promise.all(["a", "bad", "b"].map((name) => sender.emit(draft(name))));
    away = false;
    await h.soon(() => spool.empty);
    assert.deepEqual(got, ["x", "a", "b"]);
    const told = log.lines.find(({ message }) => message.includes("refuses"));
    assert.match(await readFile(String(told?.fields.file), "utf8"), /"user":"bad"/);
  });

  test("a member that is refused altogether keeps its events and tries again", async () => {
    await using h = await host();
    let answer: Fault | undefined = new Fault("unreachable", "away");
    const got: string[] = [];
    const { sender, spool } = h.start(({ names }) => {
      if (answer) throw answer;
      got.push(...names);
    });
    await Promise.all([sender.emit(draft("a")), sender.emit(draft("b"))]);
    answer = new Fault("access_denied", "your certificate is not known");
    for (let i = 0; i < 30; i++) await h.clock.advance(second);
    assert.equal(spool.empty, false);
    answer = undefined;
    await h.soon(() => spool.empty);
    assert.deepEqual(got, ["a", "b"]);
  });

  test("beyond the bound on disk events are not acknowledged, until there is room again", async () => {
    await using h = await host();
    let away = true;
    const got: string[] = [];
    const { sender, spool } = h.start(
      ({ names }) => {
        if (away) throw new Fault("unreachable", "away");
        got.push(...names);
      },
      { limit: 600 },
    );
    await sender.emit(draft("a"));
    await sender.emit(draft("b"));
    let acknowledged = false;
    const third = sender.emit(draft("c")).then(() => {
      acknowledged = true;
    });
    await until(() => sender.trouble !== undefined);
    assert.equal(acknowledged, false);
    assert.match(sender.trouble ?? "", /600 bytes/);
    away = false;
    await h.soon(() => acknowledged && spool.empty);
    await third;
    await h.soon(() => got.length === 3);
    assert.deepEqual(got, ["a", "b", "c"]);
    await h.soon(() => sender.trouble === undefined);
  });

  test("at the end what waits is sent, or lies on disk for the next", async () => {
    await using h = await host();
    let tries = 0;
    const first = h.start(() => {
      tries++;
      throw new Fault("unreachable", "gone");
    });
    await turn();
    const stopped = first.stop();
    const sent = first.sender.emit(draft("a"));
    await stopped;
    await sent;
    assert.equal(tries, 1);
    const got: string[] = [];
    const second = h.start(({ names }) => void got.push(...names));
    await until(() => second.spool.empty && got.length > 0);
    assert.deepEqual(got, ["a"]);
  });

  test("a line that a kill cut off was never acknowledged and spoils nothing", async () => {
    await using h = await host();
    const first = h.start(() => {
      throw new Fault("unreachable", "away");
    });
    await first.sender.emit(draft("a"));
    await first.sender.emit(draft("b"));
    first.die();
    const [folder = ""] = await readdir(h.folder);
    const files = (await readdir(join(h.folder, folder))).filter((name) => name.endsWith(".jsonl")).sort();
    await appendFile(join(h.folder, folder, files.at(-1) ?? ""), '{"event":"auth","us');
    const got: string[] = [];
    const second = h.start(({ names }) => void got.push(...names));
    await until(() => second.spool.empty && got.length > 1);
    assert.deepEqual(got, ["a", "b"]);
  });

  test("what a newer version left is left alone, with a sentence", async () => {
    await using h = await host();
    const folder = join(h.folder, id);
    await mkdir(folder);
    await writeFile(join(folder, "owner"), "2\nsomebody\n");
    await writeFile(join(folder, "1.jsonl"), "?");
    const { sender, log } = h.start(() => {});
    await sender.emit(draft("a"));
    assert.match(log.lines[0]?.message ?? "", /newer version/);
    assert.deepEqual((await readdir(folder)).sort(), ["1.jsonl", "owner"]);
  });

  test("S58: the files are the daemon's alone, whatever the umask", async () => {
    const umask = process.umask(0);
    try {
      await using h = await host();
      const { sender } = h.start(() => {
        throw new Fault("unreachable", "away");
      });
      await sender.emit(draft("a"));
      const [folder = ""] = await readdir(h.folder);
      assert.equal((await stat(join(h.folder, folder))).mode & 0o777, 0o700);
      for (const name of await readdir(join(h.folder, folder)))
        assert.equal((await stat(join(h.folder, folder, name))).mode & 0o777, 0o600);
    } finally {
      process.umask(umask);
    }
  });
});
