import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { TestClock } from "#core/clock";
import { backendContract } from "./backend.contract.ts";
import type { Backend } from "./index.ts";
import { measured } from "./measured.ts";
import { MemoryBackend } from "./memory.ts";

const nobody = { read() {}, wrote() {} };
backendContract("measured", async (clock, history) =>
  measured(new MemoryBackend(clock, { history }), nobody, clock),
);

suite("a measured storage", () => {
  test("tells of reads and writes, those that fail too, with the storage's own time", async () => {
    const clock = new TestClock();
    const memory = new MemoryBackend(clock);
    const told: [string, number][] = [];
    const slow: Backend = {
      ...measured(memory, nobody, clock),
      async get(key) {
        await clock.advance(5);
        return memory.get(key);
      },
    };
    const backend = measured(
      slow,
      { read: (took) => told.push(["read", took]), wrote: (took) => told.push(["wrote", took]) },
      clock,
    );
    const value = new Uint8Array(1);
    await backend.put({ key: "/a/1", value });
    await backend.put({ key: "/a/2", value });
    await assert.rejects(backend.get("/b"));
    for await (const _ of backend.range("/a/")) await clock.advance(1000);
    await backend.delete("/a/1");
    assert.deepEqual(told, [
      ["wrote", 0],
      ["wrote", 0],
      ["read", 5],
      ["read", 0],
      ["wrote", 0],
    ]);
  });
});
