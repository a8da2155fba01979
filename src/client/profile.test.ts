import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { Fault } from "#core/errors";
import { type Profile, Profiles, plainFields } from "./profile.ts";

const profile = (host: string, more: Partial<Profile> = {}): Profile => ({
  webProxyAddr: `${host}:3080`,
  sshProxyAddr: `${host}:3023`,
  user: "joe",
  authType: "local",
  cluster: "main",
  rootCluster: "main",
  ...more,
});

suite("profiles", () => {
  let home: string;
  let profiles: Profiles;
  beforeEach(async () => {
    home = join(await mkdtemp(join(tmpdir(), "profiles-")), ".tsh");
    profiles = new Profiles(home);
  });
  afterEach(() => rm(join(home, ".."), { recursive: true }));

  test("come back as they were written, the last one is the current", async () => {
    await profiles.write(profile("one"));
    await profiles.write(profile("two", { user: "mia: {x}\n", cluster: "east" }));
    assert.deepEqual(await profiles.read(), profile("two", { user: "mia: {x}\n", cluster: "east" }));
    assert.deepEqual(await profiles.read("one"), profile("one"));
    assert.deepEqual(
      (await profiles.all()).map(({ webProxyAddr }) => webProxyAddr),
      ["two:3080", "one:3080"],
    );
    assert.equal(await profiles.read("three"), undefined);
  });
  test("without any there is none", async () => {
    assert.equal(await profiles.read(), undefined);
    assert.deepEqual(await profiles.all(), []);
  });
  test("TSH-53: the name that was typed leads to the profile of the public one, and goes with it", async () => {
    await profiles.write(profile("public"), "typed");
    assert.deepEqual(await profiles.read("typed"), profile("public"));
    assert.equal((await profiles.all()).length, 1);
    await profiles.remove("public");
    assert.deepEqual(await readdir(home), []);
  });
  test("a login under the name of an alias does not write through it", async () => {
    await profiles.write(profile("public"), "typed");
    await profiles.write(profile("typed"));
    assert.deepEqual(await profiles.read("public"), profile("public"));
    assert.deepEqual(await profiles.read("typed"), profile("typed"));
  });
  test("S58: the folder is closed to others under any umask, and closed again", async () => {
    const before = process.umask(0);
    try {
      await mkdir(home, { mode: 0o777 });
      await profiles.write(profile("one"));
      assert.equal((await stat(home)).mode & 0o777, 0o700);
      assert.equal((await stat(join(home, "one.yaml"))).mode & 0o777, 0o640);
    } finally {
      process.umask(before);
    }
  });
  for (const [why, text] of [
    ["not YAML", "web_proxy_addr: [\n"],
    ["not a map", "- x\n"],
    ["without a user", "web_proxy_addr: one:3080\n"],
    ["with a host that climbs", "web_proxy_addr: ../../etc:3080\nuser: joe\n"],
    ["an alias bomb", "a: &a [x,x]\nb: &b [*a,*a]\n"],
  ] as const) {
    test(`one that is ${why} is refused with its name`, async () => {
      await mkdir(home);
      await writeFile(join(home, "one.yaml"), text);
      await assert.rejects(
        profiles.read("one"),
        (err) =>
          Fault.is(err, "bad_parameter") &&
          err.message.includes("one.yaml") &&
          err.message.includes("log in again"),
      );
    });
  }
  test("S57: a host that is no name reads and writes nothing", async () => {
    for (const host of ["..", "../x", "a/b", "", "-x"]) {
      assert.equal(await profiles.read(host), undefined);
      await assert.rejects(profiles.write(profile(host)), (err) => Fault.is(err, "bad_parameter"));
    }
    await mkdir(home, { recursive: true });
    await symlink("../../secret.yaml", join(home, "profile"));
    assert.equal(await profiles.read(), undefined);
  });
  test("reading without the YAML package agrees with it", () => {
    const word = fc.stringMatching(/^[A-Za-z0-9@._:/~!&*#'"[\]{} ,>|%=-]{1,12}$/);
    const line = fc.tuple(fc.stringMatching(/^[a-z_]{1,6}$/), word).map(([key, value]) => `${key}: ${value}`);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 4 }), (lines) => {
        const text = lines.map((each) => `${each}\n`).join("");
        const plain = plainFields(text);
        if (plain) assert.deepEqual({ ...plain }, parse(text, { schema: "failsafe" }) ?? {});
      }),
    );
    assert.deepEqual({ ...plainFields("user: joe\n") }, { user: "joe" });
  });
});
