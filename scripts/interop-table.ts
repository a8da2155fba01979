/**
 * Runs the tests with programs that are not ours, and prints the table in docs/interop.md by what came of them. Of programs that
 * are not installed here the table keeps what it has. Arguments, if any, are globs of the test files to run instead of all.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PeerResult, peerResults, resultsFile } from "../test/interop/peers/results.ts";
import { interopPage } from "./docs/interop.ts";

const folder = mkdtempSync(join(tmpdir(), "interop-"));
const globs = process.argv.slice(2);
const files = globs.length === 0 ? ["test/interop/peers/**/*.test.ts"] : globs;
const { status } = spawnSync("node", ["--test", "--test-concurrency=2", "--test-reporter=dot", ...files], {
  stdio: "inherit",
  env: { ...process.env, INTEROP_RESULTS: folder },
});
const results = readdirSync(folder).map(
  (name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as PeerResult,
);
rmSync(folder, { recursive: true });
const key = ({ peer, against }: PeerResult): string => `${against} ${peer}`;
const all = new Map([...peerResults(), ...results].map((one) => [key(one), one]));
// Those through the proxy first.
const sorted = [...all.values()].sort(
  (a, b) => b.against.localeCompare(a.against) || a.peer.localeCompare(b.peer),
);
writeFileSync(resultsFile, `${JSON.stringify(sorted, undefined, 2)}\n`);
writeFileSync("docs/interop.md", interopPage());
process.exitCode = status ?? 1;
