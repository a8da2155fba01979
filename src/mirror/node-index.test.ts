import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Node, namesOf } from "#model";
import { NodeIndex } from "./node-index.ts";

const node = (id: string, hostname: string, addr = ""): Node =>
  Node.parse({ kind: "node", version: "v2", metadata: { name: id }, spec: { hostname, addr } });

suite("nodes by name and address", () => {
  for (const [addr, names] of [
    ["10.0.0.3:3022", ["id", "web", "10.0.0.3"]],
    ["[FD00::1]:3022", ["id", "web", "fd00::1"]],
    ["fd00::1", ["id", "web", "fd00::1"]],
    ["web.example.com", ["id", "web", "web.example.com"]],
    ["web:22", ["id", "web"]],
    ["", ["id", "web"]],
  ] as const) {
    test(`${addr || "no address"}`, () => assert.deepEqual([...namesOf(node("ID", "Web", addr))], names));
  }

  test("whatever comes and goes, it finds just those that a look through all would find", () => {
    const small = fc.constantFrom("a", "b", "c");
    const step = fc.record({
      gone: fc.boolean(),
      id: small,
      hostname: small,
      addr: fc.constantFrom("", "a:1", "d:1"),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const index = new NodeIndex();
        const plain = new Map<string, Node>();
        for (const { gone, id, hostname, addr } of steps) {
          for (const all of [index, plain]) {
            if (gone) all.delete(id);
            else all.set(id, node(id, hostname, addr));
          }
        }
        assert.deepEqual(new Map(index), plain);
        for (const name of ["a", "B", "c", "d", "e"]) {
          const found = [...plain.values()].filter((one) => namesOf(one).has(name.toLowerCase()));
          assert.deepEqual(new Set(index.at(name)), new Set(found));
        }
      }),
    );
  });
});
