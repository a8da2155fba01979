import { readFileSync } from "node:fs";
import { type PeerResult, peerResults } from "../../test/interop/peers/results.ts";
import { table } from "./markdown.ts";

const marks = /(<!-- peers: .* -->\n)[\s\S]*(<!-- \/peers -->)/;

/** docs/interop.md, written by hand but for the table of peers. */
export function interopPage(): string {
  const rows = peerResults().map(({ peer, version, against, done, failed }) => [
    `${peer} ${version}`,
    against,
    done.join("; "),
    told(failed),
  ]);
  const printed = table(["program", "against", "what was done", "result"], rows);
  return readFileSync("docs/interop.md", "utf8").replace(
    marks,
    (_all, from, to) => `${from}${printed}\n${to}`,
  );
}

const told = (failed: PeerResult["failed"]): string =>
  failed.length === 0 ? "works" : `does not work: ${failed.join("; ")}`;
