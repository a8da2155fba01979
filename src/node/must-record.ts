import { Fault } from "#core/errors";
import type { Host, Visit } from "./visit.ts";

/**
 * Whether a role demands that this visit's sessions are recorded. Throws `unreachable` with a sentence for the user when one
 * could not be: its recording or its audit events would find no room.
 */
export async function mustRecord(host: Host, visit: Visit): Promise<boolean> {
  if (host.view.config().session_recording !== "node") return false;
  if (!visit.person.access.options().mustRecord) return false;
  const trouble = host.auditTrouble?.() ?? (await host.spool.full());
  if (trouble === undefined) return true;
  throw new Fault(
    "unreachable",
    `your role demands that sessions are recorded, and this host cannot keep a recording: ${trouble}`,
  );
}
