import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Clock, Millis } from "#core/clock";
import { second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Log } from "#core/log";
import type { Service } from "#core/service";
import { type Part, parts, type Spool } from "./spool.ts";

/** SHA-256 of each file, in hex. */
export type Digests = Readonly<Record<Part, string>>;

const scanEvery: Millis = 5 * second;
const atOnce = 10;

/**
 * Brings finished recordings to the cluster's store (REC-04), those too that an earlier process left behind. A recording
 * is deleted here only after the store has answered with the digests of what lies here.
 */
export function uploader(options: {
  readonly spool: Spool;
  /** Sends both files; answers with the digests of what is stored, once that is safe. */
  readonly upload: (
    sid: string,
    files: Readonly<Record<Part, string>>,
    signal: AbortSignal,
  ) => Promise<Digests>;
  /** Told of a recording that the end of a process cut off, before it is uploaded: its session never ended properly. */
  readonly onAbandoned?: (sid: string, logFile: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}): Service {
  const { spool, clock, log } = options;
  let told = false;
  return {
    name: "recordings",
    async run(signal, ready) {
      ready();
      while (!signal.aborted) {
        try {
          await scan(signal);
        } catch (err) {
          log.warn("cannot look for recordings to upload", { error: (err as Error).message });
        }
        await clock.sleep(scanEvery, signal).catch(() => {});
      }
    },
  };

  async function scan(signal: AbortSignal): Promise<void> {
    const waiting = await spool.waiting();
    const next = waiting.values();
    let away: Fault | undefined;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (const { sid, complete } of next) {
          if (signal.aborted || away) return;
          try {
            await bring(sid, complete, signal);
          } catch (err) {
            if (signal.aborted) return;
            if (Fault.is(err, "unreachable")) {
              away = err;
              return;
            }
            log.warn("a recording could not be uploaded, it will be tried again", {
              sid,
              error: (err as Error).message,
            });
          }
        }
      }),
    );
    // Once, not at every look: an outage may last, and there may be many.
    if (away && !told) {
      log.warn("recordings wait for the auth server", { waiting: waiting.length, error: away.message });
    }
    told = away !== undefined;
  }

  async function bring(sid: string, complete: boolean, signal: AbortSignal): Promise<void> {
    const files = { bytes: spool.path(sid, "bytes"), log: spool.path(sid, "log") };
    if (!complete) {
      await options.onAbandoned?.(sid, files.log);
      await spool.complete(sid);
    }
    const stored = await options.upload(sid, files, signal);
    for (const part of parts) {
      if ((await digest(files[part])) !== stored[part]) {
        throw new Error(`the store has other ${part} than we sent`);
      }
    }
    await spool.remove(sid);
    log.debug("recording uploaded", { sid });
  }
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
