import type { HeapProfiler, Profiler } from "node:inspector";

/** One kind of number that a profile has for each place, e.g. `cpu` in `nanoseconds`. */
interface ValueType {
  readonly type: string;
  readonly unit: string;
}

interface Frame {
  readonly functionName: string;
  readonly url: string;
  /** From 0. */
  readonly lineNumber: number;
}

interface Sample {
  /** The innermost first. */
  readonly stack: readonly Frame[];
  readonly values: readonly number[];
}

/** A CPU profile of V8 in the form that `go tool pprof` reads, not yet compressed. What is spent waiting is left out. */
export function pprofOfCpu(profile: Profiler.Profile, takenAt: number): Uint8Array {
  const parents = new Map<number, Profiler.ProfileNode>();
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node);
  const spent = new Map<number, { hits: number; micros: number }>();
  for (const [i, id] of (profile.samples ?? []).entries()) {
    const sum = spent.get(id) ?? { hits: 0, micros: 0 };
    // The time before the next sample is this one's.
    const micros = Math.max(0, profile.timeDeltas?.[i + 1] ?? 0);
    spent.set(id, { hits: sum.hits + 1, micros: sum.micros + micros });
  }
  const samples = [...spent].flatMap(([id, { hits, micros }]): Sample[] => {
    const stack: Frame[] = [];
    for (let node = nodes.get(id); node; node = parents.get(node.id)) stack.push(node.callFrame);
    return stack[0]?.functionName === "(idle)"
      ? []
      : [{ stack: stack.slice(0, -1), values: [hits, micros * 1000] }];
  });
  return encode({
    types: [
      { type: "samples", unit: "count" },
      { type: "cpu", unit: "nanoseconds" },
    ],
    samples,
    takenAt,
    duration: (profile.endTime - profile.startTime) * 1000,
  });
}

/** What is alive on the heap by where it was allocated, as V8 estimates it from its samples. */
export function pprofOfHeap(profile: HeapProfiler.SamplingHeapProfile, takenAt: number): Uint8Array {
  const samples: Sample[] = [];
  const walk = (node: HeapProfiler.SamplingHeapProfileNode, outer: readonly Frame[]): void => {
    const stack = [node.callFrame, ...outer];
    if (node.selfSize > 0) samples.push({ stack, values: [node.selfSize] });
    for (const child of node.children) walk(child, stack);
  };
  for (const child of profile.head.children) walk(child, []);
  return encode({ types: [{ type: "inuse_space", unit: "bytes" }], samples, takenAt, duration: 0 });
}

/** The message `Profile` of pprof's profile.proto, as far as a script has something to put into it. */
function encode(profile: {
  readonly types: readonly ValueType[];
  readonly samples: readonly Sample[];
  /** Milliseconds since 1970. */
  readonly takenAt: number;
  /** Nanoseconds. */
  readonly duration: number;
}): Uint8Array {
  const strings = new Numbers<string>(0);
  strings.of("");
  const functions = new Numbers<string>(1);
  const locations = new Numbers<string>(1);
  const functionParts: Uint8Array[] = [];
  const locationParts: Uint8Array[] = [];
  const text = (value: string): number => strings.of(value);
  const locationOf = ({ functionName, url, lineNumber }: Frame): number => {
    const name = functionName || "(anonymous)";
    const function_ = functions.of(`${name}\n${url}\n${lineNumber}`, (id) => {
      const named = [field(1, id), field(2, text(name)), field(3, text(name)), field(4, text(url))];
      functionParts.push(message(5, [...named, field(5, lineNumber + 1)]));
    });
    return locations.of(String(function_), (id) => {
      const line = message(4, [field(1, function_), field(2, lineNumber + 1)]);
      locationParts.push(message(4, [field(1, id), line]));
    });
  };
  const type = (number: number, { type, unit }: ValueType): Uint8Array =>
    message(number, [field(1, text(type)), field(2, text(unit))]);
  const types = profile.types.map((each) => type(1, each));
  const samples = profile.samples.map(({ stack, values }) =>
    message(2, [packed(1, stack.map(locationOf)), packed(2, values)]),
  );
  const last = profile.types.at(-1);
  const about = [
    field(9, BigInt(Math.round(profile.takenAt)) * 1_000_000n),
    field(10, profile.duration),
    ...(last ? [type(11, last), field(14, text(last.type))] : []),
  ];
  const table = strings.all().map((value) => bytes(6, Buffer.from(value)));
  return Buffer.concat([...types, ...samples, ...locationParts, ...functionParts, ...table, ...about]);
}

/** Numbers things in the order in which they are first seen. */
class Numbers<T> {
  readonly #known = new Map<T, number>();
  readonly #first: number;
  constructor(first: number) {
    this.#first = first;
  }
  of(value: T, onNew?: (id: number) => void): number {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const id = this.#first + this.#known.size;
    this.#known.set(value, id);
    onNew?.(id);
    return id;
  }
  all(): T[] {
    return [...this.#known.keys()];
  }
}

// Protocol Buffers' encoding: varints, and bytes behind their length.
const varint = (value: number | bigint): number[] => {
  const out: number[] = [];
  let rest = BigInt(typeof value === "number" ? Math.max(0, Math.round(value)) : value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return out;
};
const field = (number: number, value: number | bigint): Uint8Array =>
  Uint8Array.from([...varint(number << 3), ...varint(value)]);
const bytes = (number: number, content: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.from([...varint((number << 3) | 2), ...varint(content.length)]), content]);
const message = (number: number, parts: readonly Uint8Array[]): Uint8Array =>
  bytes(number, Buffer.concat(parts));
const packed = (number: number, values: readonly number[]): Uint8Array =>
  bytes(number, Uint8Array.from(values.flatMap((value) => varint(value))));
