import { readFileSync } from "node:fs";
import { sttyArguments } from "#helper";
import { LiveSession, noRecorder, recordTo, type Shell } from "#session";
import type { Pty, Size } from "./pty.ts";
import { recordingOf } from "./recording.ts";
import type { Setting, Started } from "./session-channel.ts";
import { sessionTelling, touching } from "./visit.ts";

/** What `pty-req` asked for, and the terminal that was opened for it. */
export interface TerminalRequest {
  readonly pty: Pty;
  readonly size: Size;
  readonly type: string;
  readonly modes: ReadonlyMap<number, number>;
}

/** An interactive session: the login's shell, or its command, on the terminal (SSH-10, SSH-12). */
export async function runShell(
  command: string | undefined,
  { host, visit, channel, sid, env, terminal }: Setting & { terminal: TerminalRequest },
): Promise<Started> {
  const { pty, size } = terminal;
  const { account } = visit;
  const recording = await recordingOf(host, visit);
  const group = await host.accounts.group("tty").catch(() => undefined);
  const modes = sttyArguments(terminal.modes);
  const login = await host.programs.onTerminal(account, { path: pty.path, modes, group }, env, command);
  pty.release();
  const shell: Shell = {
    output: pty.output,
    write: (bytes) => pty.write(bytes),
    resize: (next) => pty.resize(next),
    exit: login.exit,
    hangUp: () => pty.close(),
    kill: () => login.kill("SIGKILL"),
  };
  const recorder =
    recording === "off"
      ? noRecorder
      : await recordTo(host.spool, sid, {
          clock: host.clock,
          log: host.log,
          onFailure: recording === "required" ? () => login.kill("SIGKILL") : undefined,
        });
  const session = new LiveSession({
    sid,
    who: visit.who,
    shell,
    size,
    recorder,
    telling: sessionTelling(host),
  });
  const input = touching(channel, visit.activity);
  const party = {
    user: visit.person.user,
    input,
    write: (chunk: Uint8Array) => channel.write(chunk),
    gone: channel.closed,
  };
  return {
    over: session.run(party, visit.signal),
    resize: (next) => session.resize(next),
    // To the program in front, with the login's rights: the terminal's keys could do no more.
    signal: async (name) => {
      const inFront = foreground(login.pid);
      if (inFront !== undefined) await host.programs.signal(account, inFront, name);
    },
    break: async () => {
      const means = await host.programs.breakMeans(account, pty.path);
      const inFront = foreground(login.pid);
      if (means === "interrupt" && inFront !== undefined) await host.programs.signal(account, inFront, "INT");
      else if (means === "null") await pty.write(Uint8Array.of(0));
    },
  };
}

/** The process group in front on the terminal of a session's leader (proc(5), `tpgid`). */
function foreground(leader: number): number | undefined {
  try {
    const [, , , , , group] = readFileSync(`/proc/${leader}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return Number(group) > 1 ? Number(group) : undefined;
  } catch {
    return undefined;
  }
}
