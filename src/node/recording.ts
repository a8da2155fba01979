import { Fault } from "#core/errors";
import type { SessionOptions } from "#model";
import type { Host, Visit } from "./visit.ts";

/**
 * How this visit's sessions are recorded on this host, by the cluster and the roles. Throws `unreachable` with a sentence for the
 * user when a role demands it and it could not be: the recording or the audit events would find no room.
 */
export async function recordingOf(host: Host, visit: Visit): Promise<SessionOptions["recording"]> {
  const config = host.view.config();
  // The proxy records then.
  if (config.session_recording === "proxy") return "off";
  const { recording } = visit.person.access.options(config);
  if (recording !== "required") return recording;
  const trouble = host.auditTrouble?.() ?? (await host.spool.full());
  if (trouble === undefined) return recording;
  throw new Fault(
    "unreachable",
    `your role demands that sessions are recorded, and this host cannot keep a recording: ${trouble}`,
  );
}
