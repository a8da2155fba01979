import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { AuthClient } from "#authclient";
import { Fault } from "#core/errors";
import { type Format, print } from "../format.ts";
import type { Io } from "../io.ts";
import { printable, printableLines } from "../text.ts";
import { bringsSecret } from "./difference.ts";
import { readText } from "./file-text.ts";
import { type Plan, planOf, type Step, type Wanted } from "./plan.ts";
import { isSingle, put, readWritten, refuseTwice, type Single } from "./written.ts";

/** All resources of a folder's files and of the folders in it, or of one file; all of them checked. Throws `bad_parameter`. */
export async function readFolder(path: string | undefined, io: Io, signal: AbortSignal): Promise<Wanted[]> {
  if (path === undefined) throw new Fault("bad_parameter", "say which folder with -f DIR");
  const files = await filesOf(path);
  const found = [];
  for (const file of files) {
    const { text, name } = await readText(file, io, signal);
    found.push(...(await readWritten(text, name)));
  }
  refuseTwice(found);
  return found.map(({ resource, place }) => {
    if (!isSingle(resource))
      throw new Fault(
        "bad_parameter",
        `${place}: authorities are not applied, for their keys do not belong among such files; tctl create -f puts them back`,
      );
    return { resource, place };
  });
}

async function filesOf(path: string): Promise<string[]> {
  const is = await stat(path).catch(() => undefined);
  if (!is?.isDirectory()) return [path];
  const files = await filesIn(path);
  if (files.length > 0) return files;
  throw new Fault("bad_parameter", `${path} has no files that end in .yaml, .yml or .json`);
}

/** In order of their names. What begins with a dot is not looked at; a link to a file is as the file. */
async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory()) files.push(...(await filesIn(path)));
    else if (/\.(ya?ml|json)$/.test(entry.name) && (await stat(path)).isFile()) files.push(path);
  }
  return files;
}

const marks = { create: "+", update: "~", delete: "-" } as const;

interface Options {
  readonly prune: boolean;
  readonly dryRun: boolean;
  readonly format: Format | undefined;
}

/**
 * Makes the cluster as the files say and tells of each step. It ends at the first that fails: what was done stays, and the
 * next run goes on from there. Returns the exit code.
 */
export async function apply(
  auth: AuthClient,
  wanted: readonly Wanted[],
  io: Io,
  { prune, dryRun, format = "text" }: Options,
  signal: AbortSignal,
): Promise<number> {
  const plan = planOf(wanted, await whatIsThere(auth, wanted, prune, signal), prune);
  const isText = format === "text";
  let done = 0;
  let failure: unknown;
  for (const step of plan.steps) {
    try {
      if (!dryRun) await take(auth, step, signal);
      done++;
      if (isText) io.out(lineOf(step));
    } catch (err) {
      failure = err;
      break;
    }
  }
  for (const note of plan.notes) io.err(`NOTE: ${printable(note)}`);
  await print(io, format, report(plan, dryRun ? 0 : done, dryRun), () => summary(plan, done, dryRun));
  if (failure === undefined) return 0;
  if (!(failure instanceof Fault)) throw failure;
  io.err(`error: ${printable(titleOf(plan.steps[done] as Step))}: ${printableLines(failure.message)}`);
  if (isText) for (const step of plan.steps.slice(done + 1)) io.err(`not done: ${lineOf(step)}`);
  return 1;
}

async function whatIsThere(
  auth: AuthClient,
  wanted: readonly Wanted[],
  prune: boolean,
  signal: AbortSignal,
): Promise<Single[]> {
  const resources = wanted.map(({ resource }) => resource);
  const people = [...(await auth["roles.list"]({}, signal)), ...(await auth["users.list"]({}, signal))];
  // Connectors and trusted clusters name roles, so that it takes them to say which may go.
  if (!prune && resources.every(({ kind }) => kind === "role" || kind === "user")) return people;
  const links = await auth["trusted_clusters.list"]({}, signal);
  // Each reading of secrets is an event of the audit log: they are read only to be compared.
  const secrets = resources.some(bringsSecret);
  return [...people, ...links, ...(await auth["connectors.list"]({ secrets }, signal))];
}

async function take(auth: AuthClient, step: Step, signal: AbortSignal): Promise<void> {
  const { action, resource } = step;
  const { kind, metadata } = resource;
  const { name } = metadata;
  if (action === "create") await put(auth, resource, { force: false }, signal);
  else if (action === "update") await put(auth, resource, { force: true, was: step.was }, signal);
  else if (kind === "user") await auth["users.delete"]({ name }, signal);
  else if (kind === "role") await auth["roles.delete"]({ name }, signal);
  else if (kind === "trusted_cluster") await auth["trusted_clusters.delete"]({ name }, signal);
  else await auth["connectors.delete"]({ kind, name }, signal);
}

const titleOf = ({ action, resource }: Step): string =>
  `${marks[action]} ${resource.kind} ${resource.metadata.name}`;

function lineOf(step: Step): string {
  const changes = step.action === "update" ? step.changes : [];
  const told = changes.map(({ path, from, to }) => `${path} ${shown(from)} -> ${shown(to)}`).join("; ");
  return printable(titleOf(step) + (told ? `: ${told}` : ""));
}

/** Characters of a value in a line; `--format=json` has all of it. */
const longest = 100;
function shown(value: unknown): string {
  if (value === undefined) return "(none)";
  const text = JSON.stringify(value);
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

function summary({ steps, unchanged }: Plan, done: number, dryRun: boolean): string[] {
  if (steps.length === 0) return [`Nothing to do: ${unchanged} as the files say`];
  const count = (action: Step["action"]): number =>
    steps.slice(0, done).filter((step) => step.action === action).length;
  const counts = `${count("create")} to create, ${count("update")} to change, ${count("delete")} to delete, ${unchanged} unchanged`;
  if (dryRun) return [`${counts}; nothing was changed (--dry-run)`];
  const told = counts.replace("to create", "created").replace("to change", "changed");
  return [`${told.replace("to delete", "deleted")}${done < steps.length ? "; stopped at an error" : ""}`];
}

/** For programs. */
function report({ steps, unchanged, notes }: Plan, done: number, dryRun: boolean): unknown {
  return {
    dry_run: dryRun,
    changes: steps.map((step, i) => ({
      action: step.action,
      kind: step.resource.kind,
      name: step.resource.metadata.name,
      ...(step.action === "update" && { changes: step.changes }),
      done: i < done,
    })),
    unchanged,
    notes,
  };
}
