/**
 * Lint, types and every test, with two test files at a time; the last line printed counts all of them.
 * Arguments, if any, are globs of the test files to run instead, without lint and types.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { relative } from "node:path";
import { run } from "node:test";
import { inspect } from "node:util";

const checks = {
  lint: ["biome", "check", "."],
  types: ["tsc", "-p", "."],
  "types of the browser app": ["tsc", "-p", "web"],
};
const everything = ["src/**/*.test.ts", "web/src/**/*.test.ts", "test/**/*.test.ts"];
/** Milliseconds for a file; one that does not end by itself, because it hangs or leaves something open, has failed. */
const longest = 4 * 60_000;
/** Files at a time. */
const concurrency = 2;

const globs = process.argv.slice(2);
const count = { passed: 0, failed: 0, skipped: 0 };
/** What failed, said again at the end: of a long run often only the last lines are kept. */
const failures: string[] = [];
if (globs.length === 0) for (const [name, command] of Object.entries(checks)) check(name, command);
await runTests(globs.length === 0 ? everything : globs);
for (const failure of failures) console.log(`\n${failure}`);
console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exitCode = count.failed === 0 && count.passed > 0 ? 0 : 1;

function check(name: string, [command = "", ...args]: string[]): void {
  const started = performance.now();
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  count[status === 0 ? "passed" : "failed"] += 1;
  if (status !== 0) failures.push(`✖ ${name}`);
  console.log(line(status === 0, name, performance.now() - started));
}

async function runTests(patterns: string[]): Promise<void> {
  const files = globSync(patterns, { exclude: ["**/node_modules/**"] }).sort();
  const skipped = new Map<string, number>();
  const worker = async (): Promise<void> => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) await runFile(file, skipped);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  for (const [what, times] of skipped) console.log(`skipped: ${what}${times > 1 ? ` (${times} times)` : ""}`);
}

/** Prints a line for the file, before it what its failed tests say. `skipped` counts reasons. */
async function runFile(file: string, skipped: Map<string, number>): Promise<void> {
  // Each in a run of its own, so that one that does not end can be stopped alone.
  const events = run({ files: [file], signal: AbortSignal.timeout(longest) });
  for await (const { type, data } of events) {
    if (type === "test:pass" && data.skip !== undefined) {
      const why = typeof data.skip === "string" ? data.skip : "no reason given";
      const key = `${where(data.file)}: ${why}`;
      skipped.set(key, (skipped.get(key) ?? 0) + 1);
      // node:test leaves a skipped suite out of its counts.
      if (data.details.type === "suite") count.skipped += 1;
    } else if (type === "test:fail" && !onlyInside(data.details.error)) {
      const { error } = data.details;
      const said = indent(inspect(error.cause ?? error));
      const failure = `✖ ${where(data.file)}:${data.line ?? 0} ${data.name}\n${said}`;
      console.log(failure);
      failures.push(failure.slice(0, 2000));
    } else if (type === "test:stdout" || type === "test:stderr") process.stderr.write(data.message);
    else if (type === "test:summary") {
      const { passed, failed, cancelled } = data.counts;
      if (data.file !== undefined) {
        console.log(
          line(data.success, `${where(data.file)}  ${passed + failed + cancelled}`, data.duration_ms),
        );
      } else {
        count.passed += passed;
        count.failed += failed + cancelled;
        count.skipped += data.counts.skipped + data.counts.todo;
      }
    }
  }
}

function line(good: boolean, what: string, ms: number): string {
  return `${good ? "ok    " : "NOT OK"} ${what}  ${(ms / 1000).toFixed(1)} s`;
}
function where(file: string | undefined): string {
  return file ? relative(process.cwd(), file) : "?";
}
function indent(text: string): string {
  return text.replace(/^/gm, "    ");
}
/** A suite or a parent that failed only because a test in it did. */
function onlyInside(error: Error): boolean {
  return "failureType" in error && error.failureType === "subtestsFailed";
}
