import { Fault } from "#core/errors";
import type { Item, Op } from "./index.ts";

/** What every storage we support can hold: DynamoDB and etcd set these bounds. */
const maxKey = 1024; // bytes
const maxValue = 256 * 1024; // bytes
const maxOps = 64;
const maxCommit = 1024 * 1024; // bytes

/** Throws `bad_parameter` for a key that some storage would alter, cut or sort differently. */
export function checkKey(key: string): void {
  if (key === "") throw new Fault("bad_parameter", "a storage key is empty");
  checkPrefix(key);
}

/** As `checkKey`, but empty is fine and means everything. */
export function checkPrefix(prefix: string): void {
  // U+10FFFF is kept free, so that prefix + U+10FFFF comes after every key under the prefix.
  if (!prefix.isWellFormed() || /[\p{Cc}\u{10FFFF}]/u.test(prefix) || Buffer.byteLength(prefix) > maxKey)
    throw new Fault(
      "bad_parameter",
      `${JSON.stringify(prefix.slice(0, 80))} cannot be a storage key: keys have at most ${maxKey} bytes and no control characters`,
    );
}

function checkItem(item: Item): void {
  checkKey(item.key);
  if (item.value.length > maxValue)
    throw new Fault(
      "limit_exceeded",
      `the value of ${item.key} has ${item.value.length} bytes; ${maxValue} are possible`,
    );
  if (item.expires !== undefined && !Number.isFinite(item.expires))
    throw new Fault("bad_parameter", `the expiry of ${item.key} is not a time`);
}

/** Checks the ops of one commit, alone and together. */
export function checkOps(ops: readonly Op[]): void {
  const keys = new Set<string>();
  let bytes = 0;
  for (const op of ops) {
    if (op.type === "put") checkItem(op.item);
    else checkKey(op.key);
    const key = keyOf(op);
    if (keys.has(key)) throw new Fault("bad_parameter", `a commit names the key ${key} twice`);
    keys.add(key);
    bytes += op.type === "put" ? op.item.value.length : 0;
  }
  if (ops.length > maxOps || bytes > maxCommit)
    throw new Fault(
      "limit_exceeded",
      `a commit of ${ops.length} writes and ${bytes} bytes is too big; ${maxOps} and ${maxCommit} are possible`,
    );
}

export const keyOf = (op: Op): string => (op.type === "put" ? op.item.key : op.key);

export const changed = (key: string): Fault =>
  new Fault("compare_failed", `${key} has been changed by someone else meanwhile`, { details: { key } });
export const exists = (key: string): Fault =>
  new Fault("already_exists", `key ${JSON.stringify(key)} already exists`, { details: { key } });
export const tooOld = (): Fault =>
  new Fault("limit_exceeded", "the history of the storage does not reach back that far; list again");
