import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { asRoot, skipUnless } from "../support/installed.ts";
import { run } from "../support/run.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { configText, freePorts, tctl, teleport, tsh } from "./cluster.ts";

const stack = /^\s+at |node:internal|\.ts:\d+|UnhandledPromise|Node\.js v/m;

/** Runs a line of shell with the tools in `$TELEPORT`, `$TCTL`, `$TSH`, at home in a folder of the test. */
const shell = (folder: TempDir, line: string, env: Record<string, string | undefined> = {}) =>
  run("sh", ["-c", line], {
    env: {
      HOME: folder.at("home"),
      TELEPORT: teleport,
      TCTL: tctl,
      TSH: tsh,
      TELEPORT_DEBUG: undefined,
      TELEPORT_CONFIG: undefined,
      ...env,
    },
    cwd: folder.path,
    timeout: 30_000,
  });

/** A home, and the configuration of a cluster that does not run. */
async function nowhere(): Promise<TempDir> {
  const folder = await tempDir();
  await mkdir(folder.at("home"));
  await writeFile(folder.at("t.yaml"), configText(await freePorts(), folder.at("data")));
  return folder;
}

suite("no stack trace ever reaches a user without -d", () => {
  const nonsense: readonly [line: string, code: number][] = [
    ["$TELEPORT nonsense", 2],
    ["$TELEPORT start --nonsense", 2],
    ["$TELEPORT start --diag-addr=:::: -c t.yaml", 2],
    ["$TELEPORT start --labels='a=[' -c t.yaml", 2],
    ["$TCTL -c t.yaml status", 1],
    ["$TCTL -c t.yaml create none.yaml", 2],
    ["$TSH nonsense", 2],
    ["$TSH login", 2],
    ["$TSH login --proxy=127.0.0.1:1 --insecure --user=joe </dev/null", 1],
    ["$TSH login --proxy=:::: --user=joe </dev/null", 2],
    ["$TSH ssh root@nowhere true", 1],
    ["$TSH ls", 1],
    ["$TSH play none", 2],
    ["$TSH logout", 0],
  ];
  for (const [line, code] of nonsense) {
    test(`${line} ends with ${code} and a sentence`, async () => {
      await using folder = await nowhere();
      const ran = await shell(folder, line);
      assert.doesNotMatch(ran.err + ran.out, stack);
      assert.equal(ran.code, code, ran.err + ran.out);
      if (code !== 0) assert.match(ran.err, /\w{3,} \w+/);
    });
  }

  const tools = ["$TCTL -c t.yaml status", "$TSH ls"];
  const worlds: readonly [
    what: string,
    how: (line: string) => string,
    env?: Record<string, string | undefined>,
  ][] = [
    ["without HOME", (line) => line, { HOME: undefined }],
    ["with a HOME that is a file", (line) => line, { HOME: "/etc/passwd" }],
    ["with standard input closed", (line) => `${line} <&-`],
    ["with standard output closed", (line) => `${line} >&-`],
    ["with standard error closed", (line) => `${line} 2>&-`],
    ["with all three closed", (line) => `${line} <&- >&- 2>&-`],
    ["into a full disk", (line) => `${line} >/dev/full`],
    ["into a reader that has gone", (line) => `${line} | true`],
    [
      "in a folder that is gone",
      (line) => `d=$(mktemp -d); cd "$d"; rmdir "$d"; ${line.replace("t.yaml", "$OLDPWD/t.yaml")}`,
    ],
  ];
  for (const [what, how, env] of worlds) {
    test(`${what} the tools work or say why not`, async () => {
      await using folder = await nowhere();
      const ran = await Promise.all(tools.map((line) => shell(folder, how(line), env)));
      for (const { code, signal, err, out } of ran) {
        assert.doesNotMatch(err + out, stack);
        assert.ok([0, 1, 2].includes(code ?? -1), `${code} ${signal} ${err}`);
      }
    });
  }

  const stranger = asRoot ? skipUnless("setpriv") : "needs root";
  test("as a user id that has no name and no home", { skip: stranger }, async () => {
    await using folder = await nowhere();
    const become = "setpriv --reuid=54321 --regid=54321 --clear-groups";
    for (const line of [`${become} $TSH status`, `${become} $TCTL status`]) {
      const ran = await shell(folder, line, { HOME: undefined });
      assert.doesNotMatch(ran.err + ran.out, stack);
      assert.ok([0, 1, 2, 126, 127].includes(ran.code ?? -1), ran.err);
    }
  });

  test("a profile that is damaged is a sentence", async () => {
    for (const text of ["\u0000\u0001", "web_proxy_addr: [", "- 1"]) {
      await using folder = await nowhere();
      await mkdir(folder.at("home", ".tsh"), { recursive: true });
      await writeFile(folder.at("home", ".tsh", "p.yaml"), text);
      await writeFile(folder.at("home", ".tsh", "current-profile"), "p");
      await writeFile(folder.at("home", ".tsh", "profile"), "nonsense\n");
      for (const line of ["$TSH status"]) {
        const ran = await shell(folder, line);
        assert.doesNotMatch(ran.err + ran.out, stack);
        assert.ok([0, 1, 2].includes(ran.code ?? -1), ran.err);
      }
    }
  });

  test("an identity of an administrator that is damaged is a sentence", async () => {
    await using folder = await nowhere();
    await mkdir(folder.at("data", "proc"), { recursive: true, mode: 0o700 });
    for (const text of ["{", '{"format":99}']) {
      await writeFile(folder.at("data", "proc", "admin.json"), text);
      await chmod(folder.at("data", "proc", "admin.json"), 0o600);
      const ran = await shell(folder, "$TCTL -c t.yaml status");
      assert.doesNotMatch(ran.err + ran.out, stack);
      assert.match(ran.err, /admin\.json/);
      assert.ok(ran.code === 1 || ran.code === 2, ran.err);
    }
  });

  for (const how of ["throw new Error('planted')", "Promise.reject(new Error('planted'))"]) {
    test(`what nobody expected is one line too: ${how}`, async () => {
      await using folder = await nowhere();
      await writeFile(folder.at("late.mjs"), `setTimeout(() => { ${how} }, 1500).unref()`);
      const env = { NODE_OPTIONS: `--import=${folder.at("late.mjs")}` };
      const ran = await shell(folder, "$TELEPORT start -c t.yaml", env);
      assert.equal(ran.code, 1, ran.err);
      assert.match(ran.err, /^error: .*planted.* -d /m);
      assert.doesNotMatch(ran.err, stack);
    });
  }

  test("with -d, or TELEPORT_DEBUG, there is one", async () => {
    await using folder = await nowhere();
    assert.match((await shell(folder, "$TCTL -d -c t.yaml status")).err, /^ +at /m);
    assert.match((await shell(folder, "$TCTL -c t.yaml status", { TELEPORT_DEBUG: "1" })).err, /^ +at /m);
    assert.match((await shell(folder, "$TELEPORT start -d -c none.yaml")).err, /^ +at /m);
  });
});
