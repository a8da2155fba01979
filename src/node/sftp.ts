import type { SftpAction, SftpReport } from "#helper";
import { type Exit, noRecorder, runCommand, type Telling, tell } from "#session";
import type { Setting, Started } from "./session-channel.ts";
import { sessionTelling, touching } from "./visit.ts";

/** Events of one session that wait for the audit log before the session has to wait for it. */
const maxUntold = 20_000;

/**
 * Serves the subsystem `sftp` (SSH-06), with an event for each file that is read, written or changed. As with scp, what is
 * in the files is not recorded.
 */
export async function runSftp(setting: Setting): Promise<Started> {
  const { host, visit, channel } = setting;
  const running = await host.programs.sftp(visit.account);
  const patient = patiently(host.telling);
  const told = (async () => {
    const open = new Map<number, { action: "read" | "write"; path: string }>();
    for await (const line of running.reports) {
      const report = line as SftpReport;
      if ("opened" in report) open.set(report.opened, report);
      else if ("closed" in report) {
        const file = open.get(report.closed);
        open.delete(report.closed);
        if (file !== undefined) tellFile({ ...file, len: report.len, error: report.error });
      } else tellFile(report);
      await patient.room();
    }
    // Its server was killed.
    for (const file of open.values())
      tellFile({ ...file, error: "the session ended while the file was open" });
  })().catch((err: unknown) => {
    host.log.error("what a session did with files was not told to its end", {
      error: (err as Error).message,
    });
  });
  const over = (async () => {
    const exit = await runCommand(running, touching(channel, visit.activity), {
      recorder: noRecorder,
      clock: host.clock,
    });
    await told;
    const exitError = errorOf(exit);
    const about = { ...visit.who, name: "sftp" };
    const telling = sessionTelling(host);
    if (exitError === "") tell({ code: "T3001I", ...about, exitError }, telling);
    else tell({ code: "T3001E", ...about, exitError }, telling);
    return exit;
  })();
  return { over };

  function tellFile(file: {
    action: SftpAction;
    path: string;
    target?: string;
    len?: number;
    error: string;
  }): void {
    const { action, path, target, len, error } = file;
    const about = {
      ...visit.who,
      action,
      path,
      ...(target !== undefined && { target }),
      ...(len !== undefined && { len }),
    };
    if (error === "") tell({ code: "T4031I", ...about, success: true }, patient.telling);
    else tell({ code: "T4031E", ...about, success: false, error }, patient.telling);
  }
}

function errorOf(exit: Exit): string {
  if (!("code" in exit)) return `ended by signal ${exit.signal}`;
  return exit.code === 0 ? "" : `ended with code ${exit.code}`;
}

/** Tells, and makes who tells too much wait until the audit log has kept up: nothing is lost, memory is bounded. */
function patiently(telling: Telling): { telling: Telling; room(): Promise<void> } {
  let untold = 0;
  let kept: () => void = () => {};
  const emit: Telling["emitter"]["emit"] = async (draft) => {
    untold++;
    try {
      await telling.emitter.emit(draft);
    } finally {
      untold--;
      kept();
    }
  };
  return {
    telling: { ...telling, emitter: { emit } },
    async room() {
      while (untold >= maxUntold) await new Promise<void>((resolve) => (kept = resolve));
    },
  };
}
