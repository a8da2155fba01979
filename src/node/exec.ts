import { type Exit, noRecorder, recordTo, runCommand, tell } from "#session";
import { recordingOf } from "./recording.ts";
import type { Setting, Started } from "./session-channel.ts";
import { sessionTelling, touching } from "./visit.ts";

/** A command over pipes (SSH-10), or without one the shell itself (`ssh -T`), which then reads its commands from there. */
export async function runExec(command: string | undefined, setting: Setting): Promise<Started> {
  const { host, visit, channel, sid, env } = setting;
  const recording = await recordingOf(host, visit);
  const running = await host.programs.exec(visit.account, command, env);
  const { exec_recording_limit: limit } = host.view.config();
  const telling = sessionTelling(host);
  const recorded = recording !== "off";
  const onFailure =
    recording === "required"
      ? () => void host.programs.signal(visit.account, running.pid, "KILL").catch(() => {})
      : undefined;
  const recorder = recorded
    ? await recordTo(host.spool, sid, { clock: host.clock, log: host.log, limit, onFailure })
    : noRecorder;
  const over = (async () => {
    const exit = await runCommand(running, touching(channel, visit.activity), {
      recorder,
      clock: host.clock,
    });
    const { unrecorded } = recorder.measure();
    tell(
      {
        code: "code" in exit && exit.code === 0 ? "T3002I" : "T3002E",
        ...visit.who,
        command: command ?? visit.account.shell,
        ...outcome(exit),
        ...(recorded && { sid }),
        ...(unrecorded && { unrecorded_bytes: unrecorded.bytes, unrecorded_sha256: unrecorded.sha256 }),
      },
      telling,
      recorder,
    );
    await recorder.end();
    return exit;
  })();
  return { over, signal: (name) => host.programs.signal(visit.account, running.pid, name) };
}

/** As a shell counts: 128 and the signal's number are not known here, so a signal is 255 and its name. */
export function outcome(exit: Exit): { exitCode: number; exitError: string } {
  if ("code" in exit) return { exitCode: exit.code, exitError: "" };
  return { exitCode: 255, exitError: `ended by signal ${exit.signal}` };
}
