import { isDeepStrictEqual } from "node:util";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { neverTime } from "#model";

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly expires?: string | undefined };
  readonly spec: object;
}

/** Throws `compare_failed` when the record is no longer what a change of it was made from: two who edit at once. */
export function refuseOvertaken(was: Resource, now: Resource | undefined): void {
  if (isDeepStrictEqual(was, now)) return;
  const { kind, metadata } = was;
  throw new Fault(
    "compare_failed",
    `the ${kind} ${JSON.stringify(metadata.name)} was ${now ? "changed" : "deleted"} by somebody else meanwhile; nothing was written`,
  );
}

/** Throws `bad_parameter` for a record that would vanish as soon as it is written (AUTH-43): the date is a slip. */
export function refuseExpired({ kind, metadata, spec }: Resource, now: Millis): void {
  for (const [field, time] of [
    ["metadata.expires", metadata.expires],
    ["spec.expires", (spec as { expires?: string }).expires],
  ] as const) {
    if (time === undefined || time === neverTime || Date.parse(time) > now) continue;
    throw new Fault(
      "bad_parameter",
      `${kind} ${JSON.stringify(metadata.name)}, ${field}: ${time} is over; give a time to come, or leave it out`,
    );
  }
}
