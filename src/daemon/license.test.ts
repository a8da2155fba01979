import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { day, TestClock } from "#core/clock";
import { makeSelfSigned } from "#pki";
import { license } from "./license.ts";

suite("the license file (AUTH-140)", () => {
  let folder: string;
  let pem: string;
  let foreign: string;
  const clock = new TestClock();
  const of = (license_file?: string) =>
    license(
      {
        auth_service: { ...(license_file !== undefined && { license_file }) },
        teleport: { data_dir: folder },
      } as Parameters<typeof license>[0],
      clock,
    );
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "license-"));
    const make = () =>
      makeSelfSigned({ commonName: "Example Inc.", dnsNames: [], ips: [], now: clock.now() });
    const [one, other] = [await make(), await make()];
    pem = one.cert + one.key;
    foreign = one.cert + other.key;
    writeFileSync(join(folder, "good.pem"), pem);
    writeFileSync(join(folder, "foreign.pem"), foreign);
    writeFileSync(join(folder, "broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n");
    writeFileSync(join(folder, "keyless.pem"), one.cert);
  });
  after(() => rmSync(folder, { recursive: true }));

  test("that is good is told with its owner, its end and its place, by a whole path or one in the data folder", async () => {
    for (const name of ["good.pem", join(folder, "good.pem")]) {
      const found = await of(name);
      assert.ok(found && "good" in found);
      assert.match(found.good, /^Example Inc\., valid until \d{4}-\d\d-\d\d \(.*\/good\.pem\)$/);
    }
  });
  for (const [name, why] of [
    ["none.pem", "is not there"],
    ["good.pem/x", "is not there"],
    [".", "cannot be read"],
    ["broken.pem", "holds no certificate with its key"],
    ["keyless.pem", "holds no certificate with its key"],
    ["foreign.pem", "has the key of another certificate"],
  ] as const) {
    test(`${name}: ${why}`, async () => {
      const found = await of(name);
      assert.ok(found && "warning" in found);
      assert.match(found.warning, /^auth_service\.license_file: .* nothing needs a license/);
      assert.ok(found.warning.includes(why), found.warning);
    });
  }
  test("that is over is no good", async () => {
    const later = new TestClock(clock.now() + 366 * 100 * day);
    const found = await license(
      { auth_service: { license_file: "good.pem" }, teleport: { data_dir: folder } } as Parameters<
        typeof license
      >[0],
      later,
    );
    assert.ok(found && "warning" in found);
    assert.match(found.warning, /has expired on \d{4}-/);
  });
  test("need not be there, and is read from the data folder when it is", async () => {
    assert.equal(await of(), undefined);
    writeFileSync(join(folder, "license.pem"), pem);
    const found = await of();
    assert.ok(found && "good" in found);
  });
});
