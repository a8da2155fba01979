import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { cacheFolder } from "./compile-cache.js";

suite("S58: the folder of compiled code", () => {
  const uid = process.geteuid?.() ?? 0;
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "cache-"));
  });
  afterEach(() => rmSync(home, { recursive: true }));
  const folder = (env = {}) => cacheFolder({ uid, home, env });

  test("is made closed to others, under any umask", () => {
    const before = process.umask(0);
    try {
      const made = folder();
      assert.equal(made, join(home, ".cache", "teleport", "code"));
      for (const part of [".cache", ".cache/teleport", ".cache/teleport/code"]) {
        assert.equal(statSync(join(home, part)).mode & 0o777, 0o700);
      }
      assert.equal(folder(), made);
    } finally {
      process.umask(before);
    }
  });
  for (const part of [".cache", ".cache/teleport", ".cache/teleport/code"]) {
    test(`is not used when others may write to ${part}`, () => {
      folder();
      chmodSync(join(home, part), 0o777);
      assert.equal(folder(), undefined);
    });
  }
  test("is not used when it is a link", () => {
    mkdirSync(join(home, "elsewhere"), { mode: 0o700 });
    mkdirSync(join(home, ".cache"), { mode: 0o700 });
    symlinkSync(join(home, "elsewhere"), join(home, ".cache", "teleport"));
    assert.equal(folder(), undefined);
  });
  test("is not used when it is another user's", () => {
    folder();
    assert.equal(cacheFolder({ uid: uid + 1, home, env: {} }), undefined);
  });
  test("root does not follow the variables of the person that became root", () => {
    mkdirSync(join(home, "theirs"), { mode: 0o700 });
    const env = { XDG_CACHE_HOME: join(home, "theirs"), HOME: join(home, "theirs") };
    const got = cacheFolder({ uid: 0, home, env });
    assert.equal(got, uid === 0 ? join(home, ".cache", "teleport", "code") : undefined);
    if (uid !== 0) assert.equal(folder(env), join(home, "theirs", "teleport", "code"));
  });
});
