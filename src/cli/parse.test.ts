import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Fault } from "#core/errors";
import { commandsWith, flag, type Program } from "./command.ts";
import { runLine } from "./testing.ts";

const globals = {
  proxy: flag.text("The proxy", { env: "TELEPORT_PROXY" }),
  debug: flag.yes("Tell more", { short: "d" }),
};
const command = commandsWith(globals);
const flags = {
  port: flag.port("SSH port", { short: "p" }),
  forward: flag.many("Forward", { short: "L" }),
  roles: flag.list("Roles"),
  ttl: flag.duration("How long"),
  tty: flag.yes("Terminal", { short: "t" }),
  kind: flag.choice("Which", ["user", "host"]),
  k8sGroups: flag.text("Groups", { hidden: true }),
};
type Given = Parameters<Parameters<typeof command>[0]["run"]>[0];
const say = {
  async run({ flags, args, io }: Given): Promise<number> {
    io.out(JSON.stringify({ ...flags, args }));
    return 0;
  },
};
const program: Program = {
  name: "tool",
  about: "A tool.",
  globals,
  commands: [
    command({
      name: "ssh",
      about: "Go there",
      args: ["[target]", "[words...]"],
      passThrough: true,
      flags,
      ...say,
    }),
    command({ name: "plain", about: "Take arguments", args: ["<first>", "[second]"], flags, ...say }),
    command({ name: "secret", about: "Nobody sees it", hidden: true, flags: {}, ...say }),
    {
      name: "users",
      about: "Accounts",
      commands: [
        command({ name: "rm", aliases: ["del"], about: "Remove", args: ["<name>"], flags: {}, ...say }),
        command({
          name: "fail",
          about: "Never works",
          flags: {},
          run: () => Promise.reject(new Fault("not_found", "there is no \u001b]0;x\u0007such user")),
        }),
      ],
    },
  ],
};
const parsed = async (...argv: string[]): Promise<Record<string, unknown>> => {
  const { code, out, err } = await runLine(program, argv);
  assert.equal(code, 0, err);
  const value = JSON.parse(out) as Record<string, unknown>;
  for (const [name, v] of Object.entries(value)) if (Array.isArray(v) && v.length === 0) delete value[name];
  return value;
};

suite("command line", () => {
  for (const [line, want] of [
    ["ssh host ls -l", { args: ["host", "ls", "-l"] }],
    ["ssh -t -p 22 host top -t -p 9", { tty: true, port: 22, args: ["host", "top", "-t", "-p", "9"] }],
    ["ssh host -- ls -l", { args: ["host", "ls", "-l"] }],
    ["ssh host --help", { args: ["host", "--help"] }],
    ["ssh -L 1:a:1 --forward=2:b:2 -L3:c:3 h", { forward: ["1:a:1", "2:b:2", "3:c:3"], args: ["h"] }],
    ["--proxy=p ssh h", { proxy: "p", args: ["h"] }],
    ["ssh --proxy p h", { proxy: "p", args: ["h"] }],
    ["--proxy=a ssh --proxy=b h", { proxy: "b", args: ["h"] }],
    ["-d plain x", { debug: true, args: ["x"] }],
    ["plain x -d", { debug: true, args: ["x"] }],
    ["plain x --no-tty --no-debug", { tty: false, debug: false, args: ["x"] }],
    ["-d plain --no-debug x", { debug: false, args: ["x"] }],
    ["plain --roles=node,proxy --ttl=1h30m x", { roles: ["node", "proxy"], ttl: 5_400_000, args: ["x"] }],
    ["plain -- -x", { args: ["-x"] }],
    ["plain --k8s-groups=a --kind=host x", { k8sGroups: "a", kind: "host", args: ["x"] }],
    ["users del joe", { args: ["joe"] }],
    ["-d users rm joe --proxy=q", { debug: true, proxy: "q", args: ["joe"] }],
    ["users --proxy=q rm joe", { proxy: "q", args: ["joe"] }],
    ["secret", {}],
  ] as const) {
    test(line, async () => assert.deepEqual(await parsed(...line.split(" ")), want));
  }

  for (const [line, complaint] of [
    ["", "error: say which command of tool you mean: ssh, plain, users, help\n"],
    ["users", "error: say which command of tool users you mean: rm, fail\n"],
    ["user", 'error: tool has no command "user"; did you mean users?\n'],
    ["frobnicate", 'error: tool has no command "frobnicate"; `tool help` tells how it is used\n'],
    ["users add", 'error: tool users has no command "add"; `tool help users` tells how it is used\n'],
    ["plain --trl 1 x", "error: tool plain has no flag --trl; did you mean --ttl?\n"],
    ["plain -N x", "error: tool plain has no flag -N; `tool help plain` tells how it is used\n"],
    ["plain", "error: tool plain needs the argument <first>; `tool help plain` tells how it is used\n"],
    [
      "plain 1 2 3",
      "error: tool plain was given more arguments than it takes; `tool help plain` tells how it is used\n",
    ],
    [
      "plain x --port",
      "error: the flag --port of tool plain needs a value; `tool help plain` tells how it is used\n",
    ],
    ["plain x --port=70000", 'error: --port: "70000" is not a port (1 to 65535)\n'],
    ["plain x --ttl=0", 'error: --ttl: "0" is not longer than nothing\n'],
    ["plain x --kind=dog", 'error: --kind: "dog" is not one of user, host\n'],
  ] as const) {
    test(`refuses ${line || "nothing"}`, async () => {
      const got = await runLine(program, line ? line.split(" ") : []);
      assert.deepEqual(got, { code: 2, out: "", err: complaint });
    });
  }

  for (const line of ["help", "--help", "-h", "help users", "users --help", "help users rm", "plain -h"]) {
    test(`${line} explains on standard output and ends with where to turn (CLI-06)`, async () => {
      const { code, out, err } = await runLine(program, line.split(" "));
      assert.equal(code, 0);
      assert.equal(err, "");
      assert.match(out, /^Usage: tool/);
      assert.match(out, /report bugs[^\n]*\n$/);
      assert.doesNotMatch(out, /secret|k8s-groups|--no-/);
    });
  }

  test("help on what does not exist is wrong usage", async () => {
    assert.equal((await runLine(program, ["help", "nothing"])).code, 2);
  });

  test("a variable speaks when the flag does not", async () => {
    const env = { TELEPORT_PROXY: "from-env" };
    const said = async (...argv: string[]) => JSON.parse((await runLine(program, argv, { env })).out).proxy;
    assert.equal(await said("plain", "x"), "from-env");
    assert.equal(await said("plain", "x", "--proxy=p"), "p");
  });

  test("S66: a failure is one line without control sequences, and exit code 1", async () => {
    const got = await runLine(program, ["users", "fail"]);
    assert.deepEqual(got, { code: 1, out: "", err: "error: there is no such user\n" });
  });
});
