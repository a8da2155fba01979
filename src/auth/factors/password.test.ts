import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hashPassword, verifyPassword } from "./password.ts";

const cheap = { memory: 8, passes: 1 };

suite("passwords", () => {
  test("the right one verifies, another does not, nor does any without a record", async () => {
    const record = await hashPassword("joe", "correct horse", cheap);
    assert.equal(await verifyPassword(record, "correct horse", cheap), true);
    assert.equal(await verifyPassword(record, "correct horsf", cheap), false);
    assert.equal(await verifyPassword(undefined, "correct horse", cheap), false);
    assert.equal(await verifyPassword({ ...record, hash: "" }, "correct horse", cheap), false);
  });
  test("two hashes of one password differ", async () => {
    const [one, two] = await Promise.all([1, 2].map(() => hashPassword("joe", "correct horse", cheap)));
    assert.notEqual(one?.hash, two?.hash);
    assert.ok(!JSON.stringify(one).includes("horse"));
  });
  test("the same characters typed in two forms are one password", async () => {
    const record = await hashPassword("joe", "pässwörd".normalize("NFD"), cheap);
    assert.equal(await verifyPassword(record, "pässwörd".normalize("NFC"), cheap), true);
  });
  test("a hash made at another cost still verifies", async () => {
    const record = await hashPassword("joe", "correct horse", { memory: 16, passes: 2 });
    assert.equal(await verifyPassword(record, "correct horse", cheap), true);
  });
  test("S21: without a record it takes about as long as with one", async () => {
    // Large enough that a hash left out would be a hundred times faster, whatever else the machine does.
    const dear = { memory: 65_536, passes: 1 };
    const record = await hashPassword("joe", "correct horse", dear);
    const timed = async (of: typeof record | undefined): Promise<number> => {
      const best: number[] = [];
      for (let i = 0; i < 3; i++) {
        const start = process.hrtime.bigint();
        await verifyPassword(of, "wrong password", dear);
        best.push(Number(process.hrtime.bigint() - start));
      }
      return Math.min(...best);
    };
    const [known, unknown] = [await timed(record), await timed(undefined)];
    assert.ok(unknown > known / 5 && unknown < known * 5, `${unknown} ns and ${known} ns`);
  });
});
