import { basename } from "node:path";
import type { Copied } from "#helper";
import { noRecorder, runCommand, tell } from "#session";
import { outcome } from "./exec.ts";
import type { Setting, Started } from "./session-channel.ts";
import { sessionTelling, touching } from "./visit.ts";

/** Whether our own scp serves this command: its first word is `scp`, with or without a path (SSH-20). */
export const isScp = (command: string): boolean => basename(firstWord(command)) === "scp";

/**
 * Serves scp (SSH-20, SSH-21), with an event for each file. What is copied is in those: the bytes themselves are not
 * recorded. The login's shell reads the arguments, since clients count on its quotes, `~` and `*`.
 */
export async function runScp(command: string, setting: Setting): Promise<Started> {
  const { host, visit, channel } = setting;
  const running = await host.programs.scp(visit.account, await argumentsOf(command, setting));
  const telling = sessionTelling(host);
  const copied: Copied[] = [];
  const listening = (async () => {
    for await (const report of running.reports) copied.push(report as Copied);
  })().catch(() => {});
  const over = (async () => {
    const exit = await runCommand(running, touching(channel, visit.activity), {
      recorder: noRecorder,
      clock: host.clock,
    });
    await listening;
    for (const { action, path, len, error } of copied) {
      const fine = error === "";
      const result = fine
        ? { exitCode: 0, exitError: "" }
        : { exitCode: outcome(exit).exitCode || 1, exitError: error };
      const file = { ...visit.who, command, path, len, ...result };
      if (action === "read") tell({ code: fine ? "T3004I" : "T3004E", ...file, action }, telling);
      else tell({ code: fine ? "T3005I" : "T3005E", ...file, action }, telling);
    }
    return exit;
  })();
  return { over };
}

/** What the login's shell makes of the words after `scp`, each as a string of bytes (latin1). */
async function argumentsOf(command: string, { host, visit, env }: Setting): Promise<string[]> {
  const rest = command.trimStart().slice(firstWord(command).length);
  // A mark before each, so that what start-up files print comes before the first and is not taken for one.
  const running = await host.programs.exec(visit.account, `printf '\\0%s'${rest}`, env);
  running.stdin.end();
  const read = async (stream: AsyncIterable<unknown>): Promise<string> => {
    let text = "";
    for await (const chunk of stream) {
      text += (chunk as Buffer).toString("latin1");
      if (text.length > 4 * 1024 * 1024) running.kill("SIGKILL");
    }
    return text;
  };
  const [out, errors, exit] = await Promise.all([read(running.stdout), read(running.stderr), running.exit]);
  if (!("code" in exit) || exit.code !== 0)
    throw new Error((errors || out).trim() || "scp: the shell refused");
  return out.split("\0").slice(1);
}

const firstWord = (command: string): string => /^\s*(\S*)/.exec(command)?.[1] ?? "";
