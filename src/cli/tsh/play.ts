import { authApi, player } from "#client";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import type { Io } from "../io.ts";
import { productVersion } from "../version.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { openHome } from "./home.ts";
import { needLoginTo } from "./other-cluster.ts";
import { openProxy } from "./reach.ts";

const guid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** `tsh play` (TSH-41, REC-07). */
export async function play(context: TshContext & FlagsOf<"play">): Promise<number> {
  const { io, flags, signal } = context;
  const [sid = ""] = context.args;
  if (!guid.test(sid)) throw new Fault("bad_parameter", `'${sid}' is not a valid session ID (must be GUID)`);
  const { login, cluster } = await needLoginTo(context, openHome(io));
  await using proxy = await openProxy(context, login, { cluster });
  const [{ openAuth }, { openRecording, Player, playerKeys, ScreenFilter, afterRecording }] =
    await Promise.all([authApi(), player()]);
  const auth = openAuth(proxy, login.credentials, { cluster, version: productVersion() });
  try {
    const recording = await openRecording(auth, sid.toLowerCase(), signal);
    const filter = new ScreenFilter();
    const shown = new Player({
      recording,
      clock: systemClock,
      write: (data) => write(io, filter.pass(data)),
      speed: Number(flags.speed ?? 1),
    });
    const release = io.terminal.stdin ? io.terminal.raw() : () => {};
    try {
      if (io.terminal.stdin) {
        void (async () => {
          for await (const typed of io.input()) for (const key of playerKeys(typed)) shown.press(key);
        })().catch(() => {}); // without a keyboard it plays to its end
      }
      await shown.play(signal);
      if (io.terminal.stdout) await write(io, Buffer.from(afterRecording));
    } finally {
      release();
    }
  } finally {
    auth.close();
  }
  signal.throwIfAborted();
  io.out("\nend of session playback");
  return 0;
}

async function write({ stdout }: Io, data: Uint8Array): Promise<void> {
  if (data.length === 0 || stdout.write(data)) return;
  await new Promise<void>((resolve) => stdout.once("drain", resolve));
}
