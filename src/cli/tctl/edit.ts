import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import { asYaml } from "../format.ts";
import type { Io } from "../io.ts";
import { textIn } from "../settings.ts";
import { printableLines } from "../text.ts";
import type { RunEditor } from "./editor.ts";
import { type Kind, readReference, theOne } from "./kinds/index.ts";
import { tidy } from "./tidy.ts";
import { isSingle, keyOf, put, readWritten, type Single, wordsFor } from "./written.ts";

/** Kinds that can be changed in place; the `kind` of a connector is its own. */
const editable: readonly string[] = [
  "user",
  "role",
  "connectors",
  "github",
  "oidc",
  "saml",
  "trusted_cluster",
];

/** What `tctl edit` is to change, checked before anybody is asked. */
export function readEdit(args: readonly string[]): { kind: Kind; name: string } {
  const { kind, name } = readReference(args);
  if (!editable.includes(kind.kind)) {
    const hint = kind.instead ?? "tctl rm it and make another";
    throw new Fault(
      "bad_parameter",
      `editing resources of type ${JSON.stringify(kind.kind)} is not supported; ${hint}`,
    );
  }
  if (name === undefined)
    throw new Fault("bad_parameter", "provide a full resource name to edit, for example: tctl edit user/joe");
  return { kind, name };
}

interface Parts {
  readonly auth: AuthClient;
  readonly io: Io;
  readonly secrets: boolean;
  readonly runEditor: RunEditor;
}

/**
 * Has a resource changed in the editor and sends it, unless it was changed by somebody else meanwhile. What was typed is never
 * lost: a text that cannot be sent stays in its file, which is named.
 */
export async function edit(
  parts: Parts,
  meant: { kind: Kind; name: string },
  signal: AbortSignal,
): Promise<void> {
  const { auth, io, secrets } = parts;
  const was = theOne(meant.kind, await meant.kind.list(auth, { secrets }, signal), meant.name) as Single;
  const before = `${await asYaml([tidy(was)])}\n`;
  // Others on this machine may read neither it nor what editors put beside it.
  const folder = await mkdtemp(join(io.env.TMPDIR || tmpdir(), "tctl-edit-"));
  const path = join(folder, `${was.kind}.yaml`);
  let keep = false;
  try {
    await writeFile(path, before, { flag: "wx", mode: 0o600 });
    await changed({ ...parts, was, before, path }, signal);
  } catch (err) {
    // Before the first save there is nothing to keep.
    keep = (await readFile(path, "utf8").catch(() => before)) !== before;
    if (keep) io.err(`Your text is kept in ${path}`);
    throw err;
  } finally {
    if (!keep) await rm(folder, { recursive: true, force: true });
  }
}

async function changed(
  parts: Parts & { readonly was: Single; readonly before: string; readonly path: string },
  signal: AbortSignal,
): Promise<void> {
  const { auth, io, was, before, path, runEditor } = parts;
  let shown = before;
  let complaint: Fault | undefined;
  for (;;) {
    await runEditor(path, io);
    signal.throwIfAborted();
    const saved = textIn(await readFile(path), path);
    if (complaint && saved === shown) throw complaint;
    const text = withoutHead(saved);
    if (text === before) return void io.out(`Nothing was changed of ${keyOf(was)}`);
    try {
      const resource = await readEdited(text, was);
      // Beside other words for the same there may be nothing else.
      if (isDeepStrictEqual(resource, await readEdited(before, was)))
        return void io.out(`Nothing was changed of ${keyOf(was)}`);
      await put(auth, resource, { force: true, was }, signal);
      return void io.out(`${wordsFor(resource)} has been updated`);
    } catch (err) {
      // Nobody reads what stands in the file where a program is the editor.
      if (!Fault.is(err, "bad_parameter") || !io.terminal.stdin) throw err;
      complaint = err;
      shown = headed(text, err.message);
      await writeFile(path, shown);
    }
  }
}

const mark = "# ! ";
const isHead = (line: string): boolean => line.startsWith(mark);

/** The text with what is wrong with it above, where the editor opens; lines are numbered as they stand then. */
function headed(text: string, complaint: string): string {
  const lines = printableLines(complaint).split("\n");
  const head = [
    "This cannot be saved. Correct it and save again, or leave without saving to give up.",
    ...lines,
  ];
  const place = /^(\S+\.yaml(?: \(document \d+\))?:)(\d+)(?=:)/;
  const moved = head.map((line) =>
    line.replace(place, (_, file: string, at: string) => file + (Number(at) + head.length)),
  );
  return [...moved.map((line) => mark + line), text].join("\n");
}

function withoutHead(text: string): string {
  const lines = text.split("\n");
  return lines.slice(lines.findIndex((line) => !isHead(line))).join("\n");
}

/** The one resource of the text. Throws `bad_parameter`, also when it is another one than was to be changed. */
async function readEdited(text: string, was: Single): Promise<Single> {
  const [found, more] = await readWritten(text, `${was.kind}.yaml`);
  const resource = found?.resource;
  if (!resource || more || !isSingle(resource) || keyOf(resource) !== keyOf(was))
    throw new Fault(
      "bad_parameter",
      `${was.kind}.yaml: this has to stay ${keyOf(was)} and nothing else; tctl create makes others`,
    );
  return resource;
}
