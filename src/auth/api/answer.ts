import type { z } from "zod";
import type { Contract } from "#contract/rpc";

type Answered = Extract<Contract[string], { shape: "call" }>;

/** What a record of a long list is as JSON. The same object is listed again and again until its content changes. */
const texts = new WeakMap<object, string>();

/** The answer to a call as it goes out: only what the contract says; empty where that is nothing. */
export function answerText({ output, many }: Answered, value: unknown): string {
  if (many) return `[${(value as object[]).map(textOf).join(",")}]`;
  const told = (output as z.ZodType).parse(value);
  return told === undefined ? "" : JSON.stringify(told);
}

function textOf(record: object): string {
  const known = texts.get(record);
  if (known !== undefined) return known;
  const text = JSON.stringify(record);
  texts.set(record, text);
  return text;
}
