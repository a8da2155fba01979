import { type Connection, type Place, type Progress, type ProxyConnection, scpApi } from "#client";
import { systemClock } from "#core/clock";
import { Fault } from "#core/errors";
import { printable, printableLines } from "../text.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { openHome } from "./home.ts";
import { type LineSettings, lineSettingsOf, personOf, trust, wishesOf } from "./line-settings.ts";
import { type ClusterLogin, needLoginTo } from "./other-cluster.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { loginFor, openProxy } from "./reach.ts";

type ScpContext = TshContext & FlagsOf<"scp">;
type Remote = Extract<Place, { kind: "remote" }>;

/** `tsh scp` (TSH-42). Resolves to the highest exit code of the copies. */
export async function scp(context: ScpContext): Promise<number> {
  const { upload, download, parsePlace } = await scpApi();
  const places = context.args.map(parsePlace);
  const target = places.pop();
  if (target === undefined || places.length === 0) {
    throw new Fault("bad_parameter", "tsh scp needs at least one source, and a target");
  }
  checkSides(places, target);
  const { line } = await lineSettingsOf(context);
  for (const warning of line.warnings) context.io.err(warning);
  const home = openHome(context.io);
  const asking = personOf(context, line);
  const at = await needLoginTo(asking, home);
  const { login, cluster } = at;
  const anyUser = loginFor(line.login, login, context.io.machine);
  await using proxy = await openProxy(context, login, { ...(await wishesOf(line, anyUser)), cluster });
  const acceptPlain = trust(asking, home, line);
  const open = (place: Remote): Promise<Connection> => connect(context, line, proxy, at, place, acceptPlain);
  const bar = await progressBar(context);
  const options = { ...optionsOf(context, bar), mustBeFolder: places.length > 1 };
  let highest = 0;
  const done = ({ troubles, code }: { troubles: readonly string[]; code: number }): void => {
    for (const trouble of troubles) context.io.err(printable(trouble));
    highest = Math.max(highest, code);
  };
  if (target.kind === "remote") {
    await using connection = await open(target);
    done(
      await upload(
        connection,
        places.map(({ path }) => path),
        target.path,
        options,
      ),
    );
  } else {
    for (const place of places as Remote[]) {
      await using connection = await open(place);
      done(await download(connection, place.path, target.path, options));
    }
  }
  context.signal.throwIfAborted();
  return highest;
}

function checkSides(sources: readonly Place[], target: Place): void {
  const remote = sources.filter(({ kind }) => kind === "remote").length;
  if (target.kind === "local" && remote === 0) {
    throw new Fault("bad_parameter", "making local copies is not supported");
  }
  if (remote !== (target.kind === "local" ? sources.length : 0)) {
    throw new Fault(
      "bad_parameter",
      "copy either from hosts to here or from here to a host, not both at once",
    );
  }
}

function connect(
  { io, signal }: ScpContext,
  line: LineSettings,
  proxy: ProxyConnection,
  { login, cluster }: ClusterLogin,
  place: Remote,
  acceptPlain: ReturnType<typeof trust>,
): Promise<Connection> {
  return proxy.toHost(
    {
      host: place.host,
      port: line.port,
      cluster,
      login: loginFor(place.login ?? line.login, login, io.machine),
    },
    acceptPlain,
    signal,
  );
}

/** On a terminal people see how far it is. */
async function progressBar({ io, flags }: ScpContext): Promise<ProgressBar | undefined> {
  if (flags.quiet || !io.terminal.stdout) return undefined;
  const { ProgressBar: Bar } = await import("./progress-bar.ts");
  return new Bar(
    (text) => void io.stdout.write(text),
    () => io.terminal.size().columns,
    systemClock,
  );
}

function optionsOf({ io, flags }: ScpContext, bar: ProgressBar | undefined) {
  const { recursive = false, preserve = false, quiet = false } = flags;
  return {
    recursive,
    preserve,
    report({
      action,
      path,
      len,
      error,
    }: {
      action: "read" | "write";
      path: string;
      len: number;
      error: string;
    }) {
      if (bar) bar.end({ path, len, whole: error === "" });
      else if (!quiet && error === "")
        io.out(`${action === "read" ? "->" : "<-"} ${printable(path)} (${len})`);
    },
    ...(bar && { progress: (file: Progress) => bar.at(file) }),
    onError: (text: string) => {
      const shown = printableLines(text).trimEnd();
      if (shown !== "") io.err(shown);
    },
  };
}
