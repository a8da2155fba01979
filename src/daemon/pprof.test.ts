import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { pprofOfCpu, pprofOfHeap } from "./pprof.ts";

const frame = (functionName: string, lineNumber: number) => ({
  functionName,
  scriptId: "1",
  url: "file:///x.ts",
  lineNumber,
  columnNumber: 0,
});

/** Reads a message back: numbers and bytes by field, as protobuf's encoding says. */
function fields(message: Uint8Array): Map<number, (bigint | Uint8Array)[]> {
  const found = new Map<number, (bigint | Uint8Array)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      assert.ok(byte !== undefined, "a number is cut off");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    let value: bigint | Uint8Array = varint();
    if ((tag & 7) === 2) {
      const from = at;
      at += Number(value);
      assert.ok(at <= message.length);
      value = message.subarray(from, at);
    } else assert.equal(tag & 7, 0);
    found.set(tag >> 3, [...(found.get(tag >> 3) ?? []), value]);
  }
  return found;
}

const messages = (of: Map<number, (bigint | Uint8Array)[]>, field: number) =>
  (of.get(field) ?? []).map((value) => fields(value as Uint8Array));
const number = (of: Map<number, (bigint | Uint8Array)[]>, field: number): number =>
  Number(of.get(field)?.[0] ?? 0);
/** Varints one behind the other. */
const packed = (bytes: Uint8Array): number[] => {
  const values: number[] = [];
  let value = 0;
  let scale = 1;
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) {
      values.push(value);
      [value, scale] = [0, 1];
    }
  }
  return values;
};

/** `outer>inner` → its values, with the names that the profile has for them. */
function stacks(profile: Uint8Array) {
  const whole = fields(profile);
  const strings = (whole.get(6) ?? []).map((bytes) => Buffer.from(bytes as Uint8Array).toString());
  assert.equal(strings[0], "");
  const functions = new Map(messages(whole, 5).map((one) => [number(one, 1), one]));
  const locations = new Map(messages(whole, 4).map((one) => [number(one, 1), one]));
  const name = (location: number): string => {
    const [line] = messages(locations.get(location) ?? new Map(), 4);
    assert.ok(line);
    const of = functions.get(number(line, 1)) ?? new Map();
    assert.equal(strings[number(of, 4)], "file:///x.ts");
    return `${strings[number(of, 2)]}:${number(line, 2)}`;
  };
  const types = messages(whole, 1).map((one) => `${strings[number(one, 1)]}/${strings[number(one, 2)]}`);
  const samples = messages(whole, 2).map((sample) => [
    packed(sample.get(1)?.[0] as Uint8Array)
      .map(name)
      .reverse()
      .join(" > "),
    packed(sample.get(2)?.[0] as Uint8Array),
  ]);
  return { types, samples: Object.fromEntries(samples), at: whole.get(9)?.[0], duration: whole.get(10)?.[0] };
}

suite("profiles in pprof's form", () => {
  test("CPU: each stack with its samples and nanoseconds; waiting is no work", () => {
    const profile = pprofOfCpu(
      {
        nodes: [
          { id: 1, callFrame: frame("(root)", -1), children: [2, 5] },
          { id: 2, callFrame: frame("outer", 9), children: [3, 4] },
          { id: 3, callFrame: frame("inner", 19) },
          { id: 4, callFrame: frame("", 29) },
          { id: 5, callFrame: frame("(idle)", -1) },
        ],
        startTime: 1_000_000,
        endTime: 1_004_000,
        samples: [3, 3, 2, 5, 4],
        timeDeltas: [100, 1000, 1000, 200, 700],
      },
      1_700_000_000_123,
    );
    assert.deepEqual(stacks(profile), {
      types: ["samples/count", "cpu/nanoseconds"],
      samples: {
        "outer:10 > inner:20": [2, 2_000_000],
        "outer:10": [1, 200_000],
        "outer:10 > (anonymous):30": [1, 0],
      },
      at: 1_700_000_000_123_000_000n,
      duration: 4_000_000n,
    });
  });

  test("heap: the bytes alive by where they were allocated", () => {
    const node = (id: number, name: string, selfSize: number, children: ReturnType<typeof frame>[]) => ({
      id,
      callFrame: frame(name, id),
      selfSize,
      children: children.map((callFrame, i) => ({ id: id * 10 + i, callFrame, selfSize: 300, children: [] })),
    });
    const head = { ...node(1, "(root)", 0, []), children: [node(2, "outer", 70_000, [frame("inner", 4)])] };
    const { types, samples } = stacks(pprofOfHeap({ head }, 0));
    assert.deepEqual(types, ["inuse_space/bytes"]);
    assert.deepEqual(samples, { "outer:3": [70_000], "outer:3 > inner:5": [300] });
  });
});
