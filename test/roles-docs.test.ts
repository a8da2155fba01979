import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { load } from "#config";
import { Role, validateRole } from "#model";

test("the examples of docs/roles.md are roles that are taken", async () => {
  const page = readFileSync(new URL("../docs/roles.md", import.meta.url), "utf8");
  const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = ""]) => text);
  assert.equal(examples.length, 3);
  const { parseResources } = await load();
  for (const example of examples) {
    const [found] = parseResources(example, "docs/roles.md", { role: Role }, () => "");
    assert.ok(found);
    validateRole(found.value);
  }
});
