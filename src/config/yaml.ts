import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from "yaml";
import { Fault } from "#core/errors";

/** A place in a file, counted from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** One YAML document as plain data, that still knows where each part of it was written. */
export interface Tree {
  /** Maps are objects, sequences arrays, every scalar its source text, a value left out `null`. */
  readonly value: unknown;
  /** Where the value at `path` stands, or the innermost part of it that there is. With `key`, where that key of it stands. */
  placeOf(path: readonly PropertyKey[], key?: string): Place;
}

/** How large a file may be; `values` and `depth` are of one document. */
export interface Limits {
  readonly bytes: number;
  readonly values: number;
  readonly depth: number;
}
/** More than any real file of settings has; hostile ones are refused before they cost memory. */
const ofSettings: Limits = { bytes: 1 << 20, values: 50_000, depth: 50 };

/**
 * The documents of a YAML (or JSON) text. No value is interpreted: what `on` or `012` means is for the reader of that
 * setting to say. Throws `bad_parameter` with the place, never quoting values, which may be secrets.
 */
export function readYaml(text: string, name: string, limits = ofSettings): Tree[] {
  const lines = new LineCounter();
  const refuse = (offset: number, what: string): Fault => {
    const { line, col } = lines.linePos(offset);
    return new Fault("bad_parameter", `${name}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${what}`);
  };
  if (text.length > limits.bytes) throw refuse(0, `the file is larger than ${limits.bytes >> 20} MiB`);
  const documents = parse(text, lines, name);
  return documents.map((document) => {
    const broken = document.errors[0];
    if (broken) throw refuse(broken.pos[0], `this is not valid YAML: ${reason(broken.message)}`);
    const budget = { left: limits.values };
    const value = plain(document.contents, { anchors: new Map(), refuse, budget, depth: 0, limits });
    return {
      value,
      placeOf(path, key) {
        const { line, col } = lines.linePos(offsetOf(document, path, key));
        return { line: Math.max(line, 1), column: Math.max(col, 1) };
      },
    };
  });
}

function parse(text: string, lines: LineCounter, name: string): Document.Parsed[] {
  try {
    const documents = parseAllDocuments(text, {
      schema: "failsafe",
      lineCounter: lines,
      prettyErrors: false,
      logLevel: "silent",
    });
    // Without any content the library answers with an empty list that carries errors of its own.
    return [...documents] as Document.Parsed[];
  } catch (err) {
    // Thousands of nested brackets exhaust the stack of the recursive parser.
    throw new Fault("bad_parameter", `${name}: this is not valid YAML`, { cause: err });
  }
}

/** What the library says, without the pieces of the file that it quotes behind a colon. */
const reason = (message: string): string =>
  (message.split(/: /)[0] as string).replace(/^./, (c) => c.toLowerCase());

interface Reading {
  /** What was anchored so far; an alias means the last of its name. */
  readonly anchors: Map<string, Node>;
  readonly refuse: (offset: number, what: string) => Fault;
  readonly budget: { left: number };
  readonly depth: number;
  readonly limits: Limits;
}

function plain(node: Node | null, reading: Reading): unknown {
  const { anchors, refuse, budget, depth, limits } = reading;
  if (node === null) return null;
  const at = node.range?.[0] ?? 0;
  // Aliases of aliases can stand for more values than a machine can hold.
  if (--budget.left < 0) throw refuse(at, `more than ${limits.values} values`);
  if (depth > limits.depth) throw refuse(at, `nested deeper than ${limits.depth} levels`);
  const inner = { ...reading, depth: depth + 1 };
  if (!isAlias(node) && node.anchor) anchors.set(node.anchor, node);
  if (isAlias(node)) {
    const target = anchors.get(node.source);
    if (!target) throw refuse(at, "this alias names no anchor before it");
    return plain(target, inner);
  }
  if (isScalar(node)) return node.type === "PLAIN" && node.source === "" ? null : String(node.value ?? "");
  if (isSeq(node)) return node.items.map((item) => plain(item as Node | null, inner));
  if (!isMap(node)) return null;
  const map: Record<string, unknown> = {};
  for (const { key, value } of node.items) {
    if (!isScalar(key)) throw refuse((key as Node | null)?.range?.[0] ?? at, "a key must be a plain word");
    const word = String(key.value ?? "");
    // As a key of an object this would replace what all objects share.
    if (word === "__proto__")
      throw refuse(key.range?.[0] ?? at, `the key ${JSON.stringify(word)} is not allowed`);
    map[word] = plain(value as Node | null, inner);
  }
  return map;
}

function offsetOf(document: Document, path: readonly PropertyKey[], key: string | undefined): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const part of key === undefined ? path : [...path, key]) {
    if (isAlias(node)) node = node.resolve(document);
    if (isSeq(node)) node = node.items[Number(part)];
    else if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (!pair) break;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else break;
    const own = (node as Node | null | undefined)?.range?.[0];
    if (own !== undefined && part !== key) offset = own;
  }
  return offset;
}
