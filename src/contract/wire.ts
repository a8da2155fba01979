import { Fault } from "#core/errors";
import type { FaultBody } from "./fault.ts";

// How an operation of a contract travels over HTTPS: `POST /v2/<name>` with the input as JSON; an upload is
// `PUT /v2/<name>?input=<JSON>` with the bytes as body; a feed answers one JSON object a line, `{"value": …}`, then
// `{"end": true}`, or `{"fault": …}` when it fails half-way: without either it was cut off. Who goes on talking to a feed sends its input as the first of
// many lines, as `application/x-ndjson`. A call of `many` records may be answered in Zstandard (RFC 8878), where it says that it understands that.

export const operationPath = (name: string): string => `/v2/${name}`;

export const linesType = "application/x-ndjson";

/**
 * In `accept-encoding` and `content-encoding`. For lists of records only: lengths then tell something of what is alike in an answer, so
 * none that holds a secret may be packed beside what others have chosen.
 */
export const packing = "zstd";

/** Older clients are told to upgrade (UPG-02). The suffix lets pre-releases of 5.0.0 in. */
export const minClientVersion = "5.0.0-0";

/** The version of the caller, in each request (UPG-02). */
export const versionHeader = "x-teleport-version";

/** What the other side may know of a failure: a fault's own sentence; nothing of anything else. */
export function faultBody(err: unknown): FaultBody {
  if (!(err instanceof Fault) || err.kind === "internal") {
    return { kind: "internal", message: "the auth server failed to answer; its log says why", details: {} };
  }
  return { kind: err.kind, message: err.message, details: { ...err.details } };
}

/** Fault kind → HTTP status (WEB-02). */
export const statusOf: Readonly<Record<FaultBody["kind"], number>> = {
  bad_parameter: 400,
  access_denied: 403,
  not_found: 404,
  already_exists: 409,
  compare_failed: 409,
  limit_exceeded: 429,
  protocol: 400,
  unreachable: 502,
  internal: 500,
};
