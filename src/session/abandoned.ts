import { createReadStream } from "node:fs";
import { parseEvents } from "#recording";
import { type Telling, tell } from "./tell.ts";

/**
 * For `uploader`: tells the end of a session whose node died in the middle of it, since nobody else will. Nothing for a
 * recording without a session (of a command), or one whose end was told.
 */
export const endAbandoned =
  (telling: Telling) =>
  async (_sid: string, logFile: string): Promise<void> => {
    let end: Parameters<typeof tell>[0] | undefined;
    try {
      for await (const event of parseEvents(createReadStream(logFile))) {
        if (event.event === "session.start") {
          const { user, login, server_id, sid } = event;
          end = { code: "T2004I", user, login, server_id, sid, participants: [user] };
        } else if (event.event === "session.end") end = undefined;
      }
    } catch (err) {
      telling.log.warn("the log of an abandoned recording is damaged", { error: (err as Error).message });
    }
    if (end) tell(end, telling);
  };
