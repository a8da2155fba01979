import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { pages } from "../scripts/docs/pages.ts";

const byHand = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "CHANGELOG.md",
  "docs/installing.md",
  "docs/operations.md",
  "docs/security-keys.md",
  "docs/tsh-ssh.md",
  "bench/README.md",
];
const printed = await pages();

const withoutCode = (path: string): string => readFileSync(path, "utf8").replace(/`[^`]*`/g, "");

suite("documentation", () => {
  for (const [path, text] of Object.entries(printed)) {
    test(`${path} is what \`npm run docs\` prints`, () => {
      assert.equal(readFileSync(path, "utf8"), text);
    });
  }

  for (const path of [...byHand, ...Object.keys(printed)]) {
    test(`what ${path} links to is there`, () => {
      for (const [, to = ""] of withoutCode(path).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)) {
        assert.ok(existsSync(join(dirname(path), to)), `${path} links to ${to}`);
      }
    });
  }
});
