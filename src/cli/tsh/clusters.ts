import { Fault } from "#core/errors";
import { print } from "../format.ts";
import { table } from "../table.ts";
import type { FlagsOf } from "./commands.ts";
import type { TshContext } from "./globals.ts";
import { openHome } from "./home.ts";
import { needLogin } from "./log-in.ts";
import { openProxy } from "./reach.ts";

/** `tsh clusters` (TSH-44). */
export async function clusters(context: TshContext & FlagsOf<"clusters">): Promise<number> {
  const { io, flags } = context;
  const login = await needLogin(context, openHome(io));
  await using proxy = await openProxy(context, login);
  const found = sites(await proxy.ask("proxysites"));
  await print(io, flags.format, found, () =>
    table(
      flags.quiet ? [] : ["Cluster Name", "Status"],
      found.map(({ name, status }) => [name, status]),
    ),
  );
  return 0;
}

/** The proxy's answer (PRX-04): its own cluster first. */
function sites(text: string): { name: string; status: string }[] {
  const senseless = new Fault(
    "protocol",
    "the proxy's list of clusters makes no sense; is it of another version?",
  );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw senseless;
  }
  if (!Array.isArray(parsed)) throw senseless;
  return parsed.map((site: { name?: unknown; status?: unknown } | null) => {
    if (typeof site?.name !== "string" || typeof site.status !== "string") throw senseless;
    return { name: site.name, status: site.status };
  });
}
