import { formatDuration } from "#core/duration";
import type { AuthPreference, ClusterConfig, Token } from "#model";
import { table } from "../../table.ts";
import { sortTokens, tokenTable } from "../tokens.ts";
import { type Kind, type Named, of } from "./kind.ts";

/** One record of settings in the form of a resource. */
interface Settings extends Named {
  readonly version: "v2";
  readonly spec: Readonly<Record<string, unknown>>;
}

const instead = "change the file of the auth server, which overwrites it at each start";

const single = (
  kind: string,
  aliases: readonly string[],
  read: (...given: Parameters<Kind["list"]>) => Promise<Settings["spec"]>,
): Kind =>
  of<Settings>({
    kind,
    aliases,
    list: async (...given) => [
      { kind, version: "v2", metadata: { name: kind.replaceAll("_", "-") }, spec: await read(...given) },
    ],
    instead,
    text: (found) =>
      table(
        ["Setting", "Value"],
        found.flatMap(({ spec }) =>
          Object.entries(spec).map(([key, value]) => [
            key,
            typeof value === "string" ? value : JSON.stringify(value),
          ]),
        ),
      ),
  });

/** Milliseconds as the file has them (RES-36). */
const durations: readonly (keyof ClusterConfig)[] = ["client_idle_timeout", "keep_alive_interval"];

/** Past the admin guide: invite tokens, and what the auth server's file says to all (CFG-60). */
export const settings: readonly Kind[] = [
  of<Token>({
    kind: "token",
    aliases: ["tokens"],
    list: (auth, _, signal) => auth["tokens.list"]({}, signal).then(sortTokens),
    remove: (auth, { metadata: { name } }, signal) => auth["tokens.delete"]({ name }, signal),
    text: tokenTable,
  }),
  single(
    "cluster_auth_preference",
    ["cluster_auth_preferences", "auth_preference", "cap"],
    async (auth, _, signal) => ({
      ...((await auth["cluster.preference"]({}, signal)) satisfies AuthPreference),
    }),
  ),
  single("cluster_config", ["cluster_configs"], async (auth, _, signal) => {
    const config = await auth["cluster.config"]({}, signal);
    const words = durations.map((key) => [key, formatDuration(Number(config[key]))]);
    return { ...config, ...Object.fromEntries(words) };
  }),
];
