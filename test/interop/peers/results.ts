import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One line of the table in docs/interop.md. */
export interface PeerResult {
  readonly peer: string;
  readonly version: string;
  /** What of ours it met, and how it proved who it is. */
  readonly against: string;
  readonly done: readonly string[];
  /** Those of `done` that did not work. */
  readonly failed: readonly string[];
}

/** Written by `npm run interop:table`. */
export const resultsFile: string = join(import.meta.dirname, "results.json");

export const peerResults = (): PeerResult[] => JSON.parse(readFileSync(resultsFile, "utf8")) as PeerResult[];
