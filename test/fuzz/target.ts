import type { FaultKind } from "#core/errors";

/** Something that reads what a stranger sends. */
export interface Target {
  readonly name: string;
  /** Good inputs to begin with. */
  readonly seeds: () => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** Takes one input. A promise that is returned settles whatever the input is. */
  readonly run: (input: Uint8Array) => void | Promise<void>;
  /** What it may throw; anything else is a finding. */
  readonly faults: readonly FaultKind[];
  /** Bytes that it may set aside however short the input is, the slabs of a connection for one. */
  readonly slack: number;
}

/** A list of payloads as one input: each with its length in two bytes before it. */
export const pack = (payloads: readonly Uint8Array[]): Uint8Array =>
  Buffer.concat(
    payloads.flatMap((payload) => [Uint8Array.of(payload.length >> 8, payload.length & 255), payload]),
  );

/** The payloads of an input; the last one takes what there is. */
export function unpack(input: Uint8Array): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let at = 0; at + 2 <= input.length && payloads.length < 64; ) {
    const length = ((input[at] as number) << 8) | (input[at + 1] as number);
    payloads.push(input.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return payloads;
}
