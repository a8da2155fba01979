import { z } from "zod";

/** Replaced by the full schema; here so that the contract compiles. */
export const AuditEvent = z.looseObject({ event: z.string(), server_id: z.string().optional() });
export type AuditEvent = z.infer<typeof AuditEvent>;
