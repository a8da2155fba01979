import { z } from "zod";
import { AuditEvent } from "#events";
import { call, upload } from "../rpc.ts";
import { admin, system } from "./parts.ts";

/** Audit events and recordings. */
export const auditCalls = {
  "audit.emit": call({
    input: z.strictObject({
      events: z.array(AuditEvent).min(1).max(500),
      /** Some of them may have arrived before: those whose uid the log has are passed over. */
      again: z.boolean().default(false),
    }),
    output: z.void(),
    /** A member submits only what happened on itself (AUD-03). */
    allow: (caller, { events }) =>
      admin(caller) ||
      (caller.kind === "system" &&
        events.every((event) => "server_id" in event && event.server_id === caller.hostId)),
  }),
  "audit.search": call({
    input: z.strictObject({
      /** Milliseconds since the epoch. */
      from: z.number(),
      to: z.number(),
      events: z.array(z.string()).default([]),
      limit: z.number().int().positive().max(10_000).default(500),
    }),
    output: z.array(AuditEvent),
    allow: ["list", "event"],
  }),
  /** How many bytes of a file of a recording are safe already: where an upload goes on. */
  "recordings.offset": call({
    input: z.strictObject({ sid: z.uuid(), file: z.enum(["bytes", "log"]) }),
    output: z.object({ offset: z.number() }),
    allow: system("Node", "Proxy"),
  }),
  "recordings.upload": upload({
    input: z.strictObject({
      sid: z.uuid(),
      file: z.enum(["bytes", "log"]),
      offset: z.number().int().nonnegative(),
    }),
    /** How much of the file is safe now. */
    output: z.object({ size: z.number() }),
    allow: system("Node", "Proxy"),
  }),
  /** The recording is whole: checks both digests, keeps it for ever, and says so. */
  "recordings.finish": call({
    input: z.strictObject({ sid: z.uuid(), sha256: z.strictObject({ bytes: z.string(), log: z.string() }) }),
    output: z.void(),
    allow: system("Node", "Proxy"),
  }),
  /** A piece of a recording's file: at most 5 MB a time (REC-09), base64; empty past its end. */
  "recordings.read": call({
    input: z.strictObject({
      sid: z.uuid(),
      file: z.enum(["bytes", "log"]),
      offset: z.number().int().nonnegative(),
      length: z.number().int().positive().max(5_000_000),
    }),
    output: z.object({ data: z.string() }),
    allow: ["read", "session"],
  }),
};
