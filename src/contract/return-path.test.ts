import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { returnPath } from "./return-path.ts";

suite("the way back after a login", () => {
  for (const path of ["/web", "/web/nodes", "/web/cluster/main/node/1/root?x=1#top"]) {
    test(`keeps ${path}`, () => assert.equal(returnPath(path), path));
  }
  for (const path of [
    "",
    "web",
    "//evil.example",
    "//evil.example/web",
    "/\\evil.example/web",
    "\\\\evil.example",
    "/\t/evil.example/web",
    "/\n/evil.example",
    "https://evil.example/web",
    "javascript:alert(1)",
    "/web/../../evil",
    "/webapi/sessions",
    "/web/login?redirect_uri=/web/login",
    "/%2f/evil",
    "/web@evil.example",
    "/web\u0000",
  ]) {
    test(`S67: refuses ${JSON.stringify(path)}`, () => assert.equal(returnPath(path), undefined));
  }
});
