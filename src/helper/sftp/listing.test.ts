import assert from "node:assert/strict";
import { Stats } from "node:fs";
import { suite, test } from "node:test";
import { listing, modeText } from "./listing.ts";

suite("lines of ls -l", () => {
  for (const [mode, want] of [
    [0o100644, "-rw-r--r--"],
    [0o040755, "drwxr-xr-x"],
    [0o120777, "lrwxrwxrwx"],
    [0o041777, "drwxrwxrwt"],
    [0o104755, "-rwsr-xr-x"],
    [0o106644, "-rwSr-Sr--"],
    [0o101000, "---------T"],
    [0o020620, "crw--w----"],
    [0o060660, "brw-rw----"],
    [0o010600, "prw-------"],
    [0o140755, "srwxr-xr-x"],
    [0, "?---------"],
  ] as const) {
    test(`${mode.toString(8)} is ${want}`, () => assert.equal(modeText(mode), want));
  }

  const stats = (mtime: Date): Stats =>
    Object.assign(Object.create(Stats.prototype) as Stats, {
      ...{ mode: 0o100640, nlink: 2, uid: 1000, gid: 4, size: 12345, mtime },
    });
  const now = new Date(2026, 10, 22, 12, 0);
  const line = (mtime: Date, user = "ada"): string =>
    Buffer.from(listing(Buffer.from("a b"), stats(mtime), { user, group: "adm", now })).toString();

  test("what is recent has the time of day", () => {
    assert.equal(
      line(new Date(2026, 10, 3, 4, 5)),
      "-rw-r-----   2 ada      adm         12345 Nov  3 04:05 a b",
    );
  });

  test("what is old, or to come, has the year", () => {
    assert.match(line(new Date(2024, 0, 31)), / Jan 31 {2}2024 a b$/);
    assert.match(line(new Date(2028, 0, 31)), / Jan 31 {2}2028 a b$/);
  });

  test("an owner without a name has a number", () => {
    assert.match(line(now, ""), / 1000 {5}adm /);
  });

  test("a name of any bytes comes back as it is", () => {
    const got = listing(Uint8Array.of(0xff, 10), stats(now), { user: "", group: "", now });
    assert.deepEqual([...got.subarray(-3)], [32, 0xff, 10]);
  });
});
