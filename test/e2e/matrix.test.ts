import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { skipUnless } from "../support/installed.ts";
import { freePort } from "../support/port.ts";
import { Program } from "../support/program.ts";
import { type Ran, run } from "../support/run.ts";
import { ask, closed, shouting } from "../support/sockets.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { tempDir } from "../support/temp-dir.ts";
import { Terminal } from "../support/terminal.ts";
import { type Cluster, type Event, login, startCluster } from "./cluster.ts";
import { programs, quiet } from "./daemon.ts";
import { writeGuideConfig } from "./guide-config.ts";

const missing = skipUnless("ssh", "sshd", "scp", "ssh-agent", "ssh-add");

/** The same work at a node of the cluster, by every client and way to it: what each does must leave the same traces. */
suite("a node that records, by every way to it", { skip: missing }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  /** It believes the cluster about users, as docs/interop.md tells to have it. */
  let sshd: Sshd;
  let env: Record<string, string | undefined>;
  let sshConfig: string;
  const file = (name: string): string => cluster.folder.at(name);

  before(async () => {
    const folder = stack.use(await tempDir());
    sshd = stack.use(
      await startSshd({ plain: true, config: [`TrustedUserCAKeys ${folder.at("cluster-users")}`] }),
    );
    const targets = [`127.0.0.1:${sshd.port}`];
    cluster = stack.use(await startCluster({ config: { proxy_service: { openssh_targets: targets } } }));
    const authority = await cluster.mustTctl("auth", "export", "--type=user");
    await writeFile(folder.at("cluster-users"), authority.replace(/^cert-authority /, ""));
    await cluster.makeUser("joe");
    const agent = stack.use(await Program.start("ssh-agent", ["-D", "-a", file("agent")]));
    await agent.line(/SSH_AUTH_SOCK/);
    env = { ...quiet, HOME: cluster.home, SSH_AUTH_SOCK: file("agent") };
    await cluster.logIn("joe", { env });
    sshConfig = await writeGuideConfig(cluster);
  });
  after(() => stack.disposeAsync());

  interface Way {
    readonly id: string;
    readonly name: string;
    readonly host: string;
    /** Program and first arguments. */
    readonly ssh: () => readonly [string, ...string[]];
    readonly scp: () => readonly [string, ...string[]];
    /** What its scp can be asked for, and the event that a copy leaves. */
    readonly copies: readonly (readonly [flag: string | undefined, event: string])[];
  }
  const ways: readonly Way[] = [
    {
      id: "TP-09",
      name: "tsh",
      host: `${login}@testnode`,
      ssh: () => [programs.tsh, "ssh"],
      scp: () => [programs.tsh, "scp"],
      copies: [[undefined, "scp"]],
    },
    {
      id: "TP-10",
      name: "OpenSSH by proxy subsystem",
      host: "testnode.main",
      ssh: () => ["ssh", "-F", sshConfig],
      scp: () => ["scp", "-F", sshConfig],
      copies: [
        [undefined, "sftp"],
        ["-O", "scp"],
      ],
    },
    {
      id: "TP-10",
      name: "OpenSSH by -J",
      host: "testnode.main",
      ssh: () => ["ssh", "-F", sshConfig, "-J", "jump"],
      scp: () => ["scp", "-F", sshConfig, "-J", "jump"],
      copies: [
        [undefined, "sftp"],
        ["-O", "scp"],
      ],
    },
  ];

  /** The id of the session whose recording shows `text`. */
  const recorded = (text: string): Promise<string> => {
    const folder = join(cluster.dataDir, "log/sessions/default");
    return eventually(`a recording that shows ${text}`, async () => {
      for (const name of await readdir(folder).catch(() => [])) {
        if (!name.endsWith(".session.bytes")) continue;
        if ((await readFile(join(folder, name), "utf8")).includes(text)) return name.split(".")[0];
      }
      return undefined;
    });
  };
  const told = (wanted: Partial<Event>): Promise<Event> =>
    cluster.event(JSON.stringify(wanted), (event) =>
      Object.entries({ user: "joe", login, ...wanted }).every(([key, value]) => event[key] === value),
    );
  const cameByProxy = async (): Promise<number> =>
    (await cluster.events()).filter(
      ({ code, target }) => code === "T4030I" && /^testnode/.test(String(target)),
    ).length;

  for (const { id, name, host, ssh, scp, copies } of ways) {
    const word = name.replaceAll(/\W+/g, "-");
    const command = (...args: string[]): Promise<Ran> => {
      const [program, ...first] = ssh();
      return run(program, [...first, ...args], { env });
    };

    test(`${id}: ${name}: ssh, a shell in a terminal; tsh play shows it`, async () => {
      const before = await cameByProxy();
      const [program, ...first] = ssh();
      {
        await using shell = new Terminal(program, [...first, host], { env, cols: 101, rows: 33 });
        shell.type(`stty size; echo ${word}-$((40 + 2)); exit 3\r`);
        await shell.sees(/33 101\r\n/);
        await shell.sees(new RegExp(`${word}-42\r\n`));
        assert.equal(await shell.ended(), 3);
      }
      const sid = await recorded(`${word}-42\r\n`);
      assert.equal((await told({ code: "T2000I", sid })).size, "101:33");
      await told({ code: "T2004I", sid });
      assert.equal(await cameByProxy(), before + 1);
      assert.match(await cluster.mustTsh(["play", sid]), new RegExp(`${word}-42`));
    });

    test(`${id}: ${name}: ssh -A, the agent reaches; without -A none does`, async () => {
      const keys = `ssh-add -L; : with ${word}`;
      const there = await command("-A", host, keys);
      assert.match(there.out, /^ssh-ed25519-cert-v01@openssh\.com \S+ teleport:joe$/m, there.err);
      await told({ code: "T3002I", command: keys, exitCode: 0 });
      const without = `ssh-add -L; : without ${word}`;
      const none = await command(host, without);
      assert.equal(none.out, "");
      assert.match(none.err, /authentication agent/);
    });

    test(`${id}: ${name}: ssh CMD, its exit code, both its outputs, and a recording`, async () => {
      const line = `echo ${word} out; echo ${word} err >&2; exit 7`;
      const there = await command(host, line);
      assert.deepEqual([there.code, there.out], [7, `${word} out\n`], there.err);
      assert.match(there.err, new RegExp(`^${word} err$`, "m"));
      const { sid, exitCode } = await told({ event: "exec", command: line });
      assert.equal(exitCode, 7);
      assert.equal(await recorded(`${word} out`), sid);
    });

    for (const [flag, event] of copies) {
      test(`${id}: ${name}: scp${flag ? ` ${flag}` : ""}, both ways`, async () => {
        const [program, ...first] = scp();
        const content = randomBytes(300_000);
        const place = file(`${word}${flag ?? ""}`);
        await writeFile(place, content);
        for (const [from, to] of [
          [place, `${host}:${place}-there`],
          [`${host}:${place}-there`, `${place}-back`],
        ] as const) {
          const copied = await run(program, [...first, ...(flag ? [flag] : []), from, to], { env });
          assert.equal(copied.code, 0, copied.err);
        }
        for (const copy of ["there", "back"])
          assert.ok(content.equals(await readFile(`${place}-${copy}`)), copy);
        for (const action of ["write", "read"])
          await told({ event, action, path: `${place}-there`, len: content.length });
      });
    }

    test(`${id}: ${name}: ssh -L`, async () => {
      await using there = await shouting();
      const near = `127.0.0.1:${await freePort()}`;
      const [program, ...first] = ssh();
      await using _ = await Program.start(program, [...first, "-N", "-L", `${near}:${there.name}`, host], {
        env,
      });
      assert.equal(await ask(near, word), word.toUpperCase());
      await told({ code: "T3003I", addr: there.name });
    });
  }

  test("TP-09: tsh ssh -R and -D, and nothing listens at the node when they are over", async () => {
    await using here = await shouting();
    const [far, socks, farSocks] = (await Promise.all(Array.from({ length: 3 }, freePort))).map(
      (port) => `127.0.0.1:${port}`,
    ) as [string, string, string];
    {
      await using _ = await Program.start(
        programs.tsh,
        ["ssh", "-N", "-R", `${far}:${here.name}`, "-D", socks, "-R", farSocks, `${login}@testnode`],
        { env },
      );
      assert.equal(await ask(far, "from the node"), "FROM THE NODE");
      assert.equal(await ask(socks, "to the node", { through: here.name }), "TO THE NODE");
      assert.equal(await ask(farSocks, "back again", { through: here.name }), "BACK AGAIN");
    }
    for (const place of [far, farSocks]) await closed(place);
    await told({ code: "T4032I", addr: far });
    await told({ code: "T3003I", addr: here.name });
  });

  test("an sshd that is no node: tsh ssh asks about its key once, who has nobody to ask refuses it", async () => {
    const there = ["ssh", "-p", String(sshd.port), `${login}@127.0.0.1`];
    const unasked = await run(programs.tsh, [...there, "true"], { env });
    assert.equal(unasked.code, 1, unasked.out);
    assert.match(unasked.err, /has no certificate of the cluster/);
    {
      await using asked = new Terminal(programs.tsh, [...there, "echo in-$((6 * 7))"], { env });
      await asked.sees(/SHA256:\S+[\s\S]*trust it/);
      asked.type("yes\r");
      await asked.sees(/in-42\r\n/);
      assert.equal(await asked.ended(), 0);
    }
    const again = await run(programs.tsh, [...there, "echo again"], { env });
    assert.deepEqual([again.code, again.out], [0, "again\n"], again.err);
  });

  test("TP-09: tsh ls", async () => {
    assert.match(
      await cluster.mustTsh(["ls"]),
      new RegExp(`^testnode +[0-9a-f-]{36} +127\\.0\\.0\\.1:${cluster.ports.node} +env=test`, "m"),
    );
  });

  test("TP-09: tsh clusters", async () => {
    const [header = "", rule = "", row = ""] = (await cluster.mustTsh(["clusters"])).split("\n");
    assert.match(header, /^Cluster Name +Status/);
    assert.match(rule, /^-+ -+/);
    assert.match(row, /^main +online/);
  });
});
