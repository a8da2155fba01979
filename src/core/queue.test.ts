import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Queue } from "./queue.ts";

const rest = (queue: Queue<number>): Promise<number[]> => Array.fromAsync(queue);

suite("a queue", () => {
  test("gives what was pushed before and after the reader came, in order, and then ends", async () => {
    const queue = new Queue<number>();
    queue.push(1);
    queue.push(2);
    assert.equal(queue.size, 2);
    const read = rest(queue);
    await Promise.resolve();
    for (const n of [3, 4, 5]) queue.push(n);
    queue.end();
    queue.push(6);
    assert.deepEqual(await read, [1, 2, 3, 4, 5]);
    assert.equal(queue.size, 0);
  });

  test("throws its error once, behind what was queued", async () => {
    for (const first of ["reader", "error"]) {
      const queue = new Queue<number>();
      const seen: number[] = [];
      const read = async (): Promise<void> => {
        for await (const n of queue) seen.push(n);
      };
      const early = first === "reader" ? read() : undefined;
      queue.push(1);
      queue.end(new Error("broken"));
      queue.end(new Error("late"));
      await assert.rejects(early ?? read(), /broken/);
      assert.deepEqual(seen, [1]);
      assert.deepEqual(await rest(queue), []);
    }
  });

  test("lets a reader go that no longer waits, and the next one read on", async () => {
    const queue = new Queue<number>();
    const iterator = queue[Symbol.asyncIterator]();
    const waiting = iterator.next();
    await iterator.return?.();
    assert.deepEqual(await waiting, { value: undefined, done: true });
    for (const n of [1, 2, 3]) queue.push(n);
    for await (const n of queue) {
      assert.equal(n, 1);
      break;
    }
    queue.end();
    assert.deepEqual(await rest(queue), [2, 3]);
  });
});
