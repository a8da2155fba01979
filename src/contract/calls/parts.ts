import { z } from "zod";
import type { Caller, ResourceKind, SystemRole } from "#model";

// What several groups of calls share: common inputs, and who may call.

export const none = z.strictObject({});
export const name = z.strictObject({ name: z.string().min(1) });
/** Creating what exists is refused unless `force` (RES-05). */
export const force = z.boolean().default(false);
/** The record as it was read before it was changed: if it is another by now nothing is written, `compare_failed`. */
export const was = <S extends z.ZodType>(record: S) => record.optional();

export const anyone = (): boolean => true;
export const member = (caller: Caller): boolean => caller.kind !== "anonymous";
export const system =
  (...roles: SystemRole[]) =>
  (caller: Caller): boolean =>
    caller.kind === "system" &&
    (caller.role === "Admin" || caller.role === "Auth" || roles.includes(caller.role));
export const admin = system();
/** A member speaks for itself: the record's name is its host id. */
export const own =
  (role: SystemRole) =>
  (caller: Caller, record: { metadata: { name: string } }): boolean =>
    admin(caller) ||
    (caller.kind === "system" && caller.role === role && caller.hostId === record.metadata.name);
/** Members read what they decide with; people need a rule of a role. */
export const readable =
  (kind: ResourceKind) =>
  (caller: Caller): boolean =>
    caller.kind === "system" || caller.can("list", kind) || caller.can("read", kind);

/** Base64 of an authorized_keys line. */
export const sshPublicKey = z.string().min(1).max(16_384);
/** Base64 of a PEM SubjectPublicKeyInfo. */
export const tlsPublicKey = z.string().min(1).max(16_384);
/** Milliseconds. */
export const ttl = z.number().int().positive();
