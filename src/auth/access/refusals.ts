import { type AuthContract, authContract } from "#contract/auth";
import { Fault } from "#core/errors";
import type { Caller, Identity } from "#model";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";

/** Who was refused: a caller, or one whose certificate is good and who may nevertheless call nothing. */
export type Refused = Caller | Extract<Identity, { kind: "user" | "remote_user" }>;

/** How somebody is called where people of several clusters are. */
const personName = ({ kind, user, cluster }: Extract<Refused, { user: string }>): string =>
  kind === "remote_user" ? `${user}@${cluster}` : user;

/** What a machine never asks for unless somebody else has its identity. */
const notForMachines: readonly string[] = ["users.sign", "hosts.sign", "authorities.list"];

/**
 * Keeps in the audit log that a person was refused a call, with the reason that `tctl access explain` tells too, or a machine one
 * that would make it somebody else. Strangers are left out: whoever can open a connection could fill the log.
 */
export async function recordRefusal(
  parts: Pick<Parts, "audit" | "log">,
  refused: {
    readonly caller: Refused;
    readonly call: string;
    readonly error: unknown;
    readonly from?: string;
  },
): Promise<void> {
  const { caller, call, error, from } = refused;
  const person = caller.kind === "user" || caller.kind === "remote_user" ? caller : undefined;
  const counts = person || (caller.kind === "system" && notForMachines.includes(call));
  if (!counts || !Fault.is(error, "access_denied")) return;
  const why = "why" in caller ? caller.why?.() : undefined;
  const allow = Object.hasOwn(authContract, call)
    ? authContract[call as keyof AuthContract].allow
    : undefined;
  const [resource = call, verb = call] = call.split(".");
  await record(parts, {
    code: "T4051W",
    user: "name" in caller ? caller.name : personName(caller),
    // As roles name them, where a rule decides.
    action: Array.isArray(allow) ? allow[0] : verb,
    resource: Array.isArray(allow) ? allow[1] : resource,
    error: why === undefined ? error.message : `${error.message}: ${why}`,
    ...(from && { "addr.remote": from }),
  });
}
