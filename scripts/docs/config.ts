import type { z } from "zod";
import { type drivers as allDrivers, drivers } from "../../src/backend/drivers.ts";
import { ConfigFile } from "../../src/config/file.ts";
import { auditKeys } from "../../src/config/storage.ts";
import { configKeys } from "./config-keys.ts";
import { code, printed, table } from "./markdown.ts";
import { complaintOf, defaultOf, elementOf, shapeOf } from "./zod.ts";

type Row = [key: string, wants: string, whenLeftOut: string, meaning: string];

/** `docs/config.md`: every key of the configuration file. Throws when a key is not explained, or an explained one is gone. */
export function configPage(): string {
  const unexplained = new Set<string>();
  const unused = new Set(Object.keys(configKeys));
  const meaning = (key: string): string => {
    unused.delete(key);
    const said = configKeys[key];
    if (said === undefined) unexplained.add(key);
    return said ?? "";
  };
  const row = (key: string, schema: z.core.$ZodType, type = wants(schema)): Row => [
    code(key),
    type,
    written(defaultOf(schema)),
    meaning(key),
  ];
  const rows = (shape: Readonly<Record<string, z.core.$ZodType>>, prefix: string): Row[] =>
    Object.entries(shape).flatMap(([name, schema]): Row[] => {
      const key = `${prefix}${name}`;
      if (key === "teleport.storage") return storageRows(row, key);
      const inside = shapeOf(schema);
      if (inside) return rows(inside, `${key}.`);
      const entry = elementOf(schema);
      const entryShape = entry && shapeOf(entry);
      return entryShape ? [row(key, schema, "list"), ...rows(entryShape, `${key}[].`)] : [row(key, schema)];
    });
  const sections = Object.entries(shapeOf(ConfigFile) ?? {}).map(([name, schema]) => {
    const shown = rows(shapeOf(schema) ?? {}, `${name}.`);
    return `## ${name}\n\n${table(["key", "what it wants", "when left out", "what it does"], shown)}`;
  });
  if (unexplained.size > 0 || unused.size > 0) {
    throw new Error(
      `scripts/docs/config-keys.ts: to explain: ${[...unexplained].join(", ") || "none"}; to take out: ${[...unused].join(", ") || "none"}`,
    );
  }
  return `${printed}

# The configuration file

\`teleport start\` and \`tctl\` read \`/etc/teleport.yaml\` as root, \`~/.local/state/teleport/teleport.yaml\` as another user
(under \`$XDG_STATE_HOME\` when that is set), or the file that \`-c\` names. Every key may be left out, and without a file all
three services run with the defaults below. Flags of \`teleport start\` win over the file. \`teleport configure\` prints a
sample.

An unknown key, a key at the wrong place and a value that is not understood are errors with line and column, and the exit
code is 2. Yes and no may be written \`yes\`, \`no\`, \`on\`, \`off\`, \`true\` or \`false\`; times \`90s\`, \`30m\`, \`1h30m\`; sizes
\`512KiB\`, \`10MiB\`. A list of one may be written without the list. An address \`:3025\` means every interface. Tokens
may be the absolute path of a file that holds the token.

Keys marked **no effect yet** are read and checked, so that files written by the admin guide load, and do nothing in this
version. Values without which a cluster would be less safe than its file says are refused at start instead; of other
sections without effect \`teleport start\` warns.

${sections.join("\n\n")}

## Limits of SSH listeners

The keys under \`teleport.connection_limits\` hold for the SSH ports of the proxy and the node. A source is an address, or a
network of \`source_netblock\` bits, as the socket has it: what a client or a proxy says of addresses counts for the audit log
only. What the limits do shows under \`/metrics\` of \`--diag-addr\` ([diagnostics](diagnostics.md)), each with \`service\`, which is \`proxy\` or \`node\`:

| metric | what it counts |
| --- | --- |
| \`teleport_ssh_connections\` | open connections |
| \`teleport_ssh_connections_unauthenticated\` | those that have not logged in: \`max_unauthenticated\` |
| \`teleport_ssh_connections_refused_total\` | refused connections by \`reason\`: \`connections_per_source\` (\`max_connections\`), \`unauthenticated\`, \`unauthenticated_per_source\`, \`penalty\` |
| \`teleport_ssh_logins_total\` | how connections came out of the login, by \`outcome\`: \`success\`, \`refused\` (\`max_auth_tries\` among them), \`late\` (\`login_grace\`), \`broken\`, \`left\` |
| \`teleport_ssh_penalized_sources\` | sources with a debt: \`penalties\` |
| \`teleport_ssh_limit_reached_total\` | how often clients that had logged in reached a \`limit\`: \`channels\`, \`sessions\`, \`buffered\`, \`requests\`, \`users\` |

Fixed are: one version line of at most 255 bytes with nothing before it but a proxy's word of at most 256; packets of at most
35,000 bytes before the login and 256 KiB after it; 64 requests and four key exchanges before the login; a minute for a later key
exchange; a window of at most 2 MiB, 256 waiting requests and 1 MiB of them on a channel; 32 MiB that a client makes the server
write and does not read.
`;
}

/** The driver decides over its keys; beside them stand those of the audit log. */
function storageRows(row: (key: string, schema: z.core.$ZodType, type?: string) => Row, key: string): Row[] {
  const types = drivers.flatMap(({ config }) => config.shape.type.options);
  const own = drivers.flatMap(({ config }: (typeof allDrivers)[number]) =>
    Object.entries(config.shape).filter(([name]) => name !== "type" && !Object.hasOwn(auditKeys, name)),
  );
  return [
    row(`${key}.type`, drivers[0].config.shape.type, `one of ${types.join(", ")}`).with(
      2,
      code("dir"),
    ) as Row,
    ...own.map(([name, schema]) => row(`${key}.${name}`, schema, "a text")),
    ...Object.entries(auditKeys).map(([name, schema]) => row(`${key}.${name}`, schema)),
  ];
}

function wants(schema: z.core.$ZodType): string {
  const entry = elementOf(schema);
  if (entry) return `list: ${wants(entry)}`;
  return complaintOf(schema).replace(/^wants /, "");
}

function written(value: unknown): string {
  if (value === undefined || value === "") return "";
  if (Array.isArray(value))
    return value.length === 0 ? "none" : value.map((one) => code(String(one))).join(", ");
  return typeof value === "object" ? "none" : code(String(value));
}
