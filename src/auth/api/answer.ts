import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import type { z } from "zod";
import type { Contract } from "#contract/rpc";
import { packing } from "#contract/wire";

type Answered = Extract<Contract[string], { shape: "call" }>;

/** What a record of a long list is as JSON. The same object is listed again and again until its content changes. */
const texts = new WeakMap<object, string>();

/** The answer to a call as it goes out: only what the contract says; empty where that is nothing. */
export function answerText({ output, many }: Answered, value: unknown): string {
  if (many) return `[${(value as object[]).map(textOf).join(",")}]`;
  const told = (output as z.ZodType).parse(value);
  return told === undefined ? "" : JSON.stringify(told);
}

/** Shorter answers are on their way sooner than they are packed. */
const worthPacking = 32 * 1024; // characters

/**
 * An answer packed as its caller understands it; undefined where that is not worth it. Of a list of nodes a tenth is left, which then
 * need not be encrypted, passed on by a proxy and decrypted twice. Done by Node's threads.
 */
export async function packed(
  { many }: Answered,
  text: string,
  understood: string | string[] | undefined,
): Promise<Buffer | undefined> {
  if (!many || understood !== packing || text.length < worthPacking) return undefined;
  return promisify(zstdCompress)(text, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
}

function textOf(record: object): string {
  const known = texts.get(record);
  if (known !== undefined) return known;
  const text = JSON.stringify(record);
  texts.set(record, text);
  return text;
}
