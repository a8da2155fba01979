import assert from "node:assert/strict";
import { test } from "node:test";
import { authContract } from "./auth.ts";
import type { Contract } from "./rpc.ts";
import { authShapes } from "./shapes.ts";

test("what clients know of an operation before they load the contract is what the contract says", () => {
  const contract: Contract = authContract;
  const shapes = Object.entries(contract).map(([name, operation]) => [
    name,
    operation.shape === "call" && operation.many ? "many" : operation.shape,
  ]);
  assert.deepEqual(authShapes, Object.fromEntries(shapes));
});
