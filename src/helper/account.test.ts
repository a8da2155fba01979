import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { second, TestClock } from "#core/clock";
import { Fault } from "#core/errors";
import { Accounts, parsePasswd } from "./index.ts";

/** Answers as getent and id do, and keeps what was asked. */
function database(records: Record<string, string>) {
  const asked: string[] = [];
  const run = async (program: string, args: readonly string[]): Promise<string | undefined> => {
    const name = args.at(-1) as string;
    asked.push(`${program} ${name}`);
    return program === "id" ? "100 27 100" : records[name];
  };
  const clock = new TestClock();
  return { accounts: new Accounts({ clock, run }), asked, clock };
}
const bob = "bob:x:1000:100:Bob,,,:/home/bob:/bin/zsh";

suite("logins of this machine", () => {
  test("are what the password database says, with all groups", async () => {
    const { accounts } = database({ bob });
    assert.deepEqual(await accounts.find("bob"), {
      name: "bob",
      uid: 1000,
      gid: 100,
      groups: [100, 27],
      home: "/home/bob",
      shell: "/bin/zsh",
    });
  });

  for (const [why, name, isAsked = false] of [
    ["an unknown name", "eve", true],
    ["a number, which getent takes for a uid", "0", true],
    ["an option", "--service=x"],
    ["nothing", ""],
    ["a field separator", "bob:x"],
    ["a path", "../bob"],
    ["a line end", "bob\n"],
    ["a name longer than any", "b".repeat(257)],
  ] as const) {
    test(`S39: ${why} is no login`, async () => {
      const { accounts, asked } = database({
        bob,
        "0": "root:x:0:0::/root:/bin/sh",
        "bob\n": bob,
        "bob:x": bob,
      });
      await assert.rejects(
        accounts.find(name),
        (err) => Fault.is(err, "not_found") && err.message === `no such user: '${name}'`,
      );
      assert.deepEqual(asked, isAsked ? [`getent ${name}`] : [], "what no name can be is asked of nobody");
    });
  }

  test("are asked for once in five seconds, missing ones each time", async () => {
    const { accounts, asked, clock } = database({ bob });
    await Promise.all([accounts.find("bob"), accounts.find("bob")]);
    assert.equal(asked.length, 2);
    await clock.advance(5 * second);
    await accounts.find("bob");
    assert.equal(asked.length, 4);
    for (const _ of [1, 2]) await accounts.find("eve").catch(() => {});
    assert.equal(asked.length, 6);
  });

  test("without a home or shell have the usual ones", () => {
    const { home, shell } = parsePasswd("a:x:1:1:::") ?? {};
    assert.deepEqual([home, shell], ["/", "/bin/sh"]);
    for (const line of ["", "a:x:1", "a:x:-1:0:::", "a:x:1:b:::"]) assert.equal(parsePasswd(line), undefined);
  });

  test("root is found on the real database", async () => {
    const root = await new Accounts({ clock: new TestClock() }).find("root");
    assert.deepEqual([root.uid, root.gid, root.home], [0, 0, "/root"]);
    await assert.rejects(new Accounts({ clock: new TestClock() }).find("no-such-login-here"), /no such user/);
  });
});
