import type { User } from "#model";

/** In the order of the admin guide's examples, labels by name (RES-36), with the times of a user that are never (RES-10). */
export function tidy(resource: unknown): unknown {
  const { kind, metadata, spec: told, version, ...rest } = resource as Record<string, unknown>;
  const spec = kind === "user" ? withTimes(told as User["spec"]) : told;
  const { labels, ...about } = metadata as { labels?: Record<string, string> };
  const inOrder = labels && Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { kind, metadata: { ...about, ...(inOrder && { labels: inOrder }) }, spec, version, ...rest };
}

function withTimes({ roles, traits, status, ...rest }: User["spec"]): User["spec"] {
  const times = { lock_expires: never, locked_time: never };
  return { roles, traits, status: { ...times, ...status }, expires: never, ...rest };
}

/** AUTH-43; the model's own constant would bring all of the model along. */
const never = "0001-01-01T00:00:00Z";
