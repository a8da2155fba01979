import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { mustRun, type RunOptions } from "../../support/run.ts";
import { type PeerResult, peerResults } from "./results.ts";

type Check = (what: string, body: (signal: AbortSignal) => Promise<void>) => void;

/**
 * A suite of one program that is not ours. Every `check` is a test, and what the table says is done with the program is what the
 * suite does. With INTEROP_RESULTS set, to a folder, the results are left there and not compared.
 */
export function withPeer(
  about: {
    readonly peer: string;
    readonly against: string;
    /** Why it cannot run here, as `skipUnless` says it. */
    readonly skip: string | false;
    readonly version: () => Promise<string>;
  },
  register: (check: Check) => void,
): void {
  const { peer, against, skip, version } = about;
  suite(`${peer}, ${against}`, { skip, timeout: 200_000 }, () => {
    const done: string[] = [];
    const failed = new Set<string>();
    register((what, body) => {
      done.push(what);
      failed.add(what);
      test(what, async ({ signal }) => {
        await body(signal);
        failed.delete(what);
      });
    });
    const folder = process.env.INTEROP_RESULTS;
    if (folder === undefined) {
      test("docs/interop.md has it", () => {
        const line = peerResults().find((one) => one.peer === peer && one.against === against);
        assert.deepEqual(line?.done, done, "run `npm run interop:table`");
      });
      return;
    }
    after(async () => {
      const result: PeerResult = { peer, version: await version(), against, done, failed: [...failed] };
      const name = `${peer} ${against}`.replaceAll(/\W+/g, "-");
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(result));
    });
  });
}

/** The part of a program's own words about its version that `pattern` takes; it may say them on either output. */
export async function versionOf(
  pattern: RegExp,
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const said = await mustRun("sh", ["-c", '"$@" 2>&1; true', "sh", command, ...args], options);
  return pattern.exec(said)?.[1] ?? assert.fail(`${command} does not tell its version: ${said}`);
}
