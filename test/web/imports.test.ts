import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

const allowed =
  /^(\.{1,2}\/|#(core|contract)\/|#(model|events|recording)$|(react|react-dom\/client|wouter|zod|@simplewebauthn\/browser)$)/;

test("the browser app imports only itself, its libraries, and modules that are pure", () => {
  const files = globSync("web/src/**/*.{ts,tsx}");
  assert.ok(files.length > 10);
  for (const file of files) {
    for (const [, specifier = ""] of readFileSync(file, "utf8").matchAll(/(?:from|import)\s*\(?"([^"]+)"/g)) {
      assert.match(specifier, allowed, file);
    }
  }
});
