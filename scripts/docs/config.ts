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
sample, and \`teleport configure --test FILE\` checks a file without starting: it tells all mistakes and warnings at once, a line
each, and makes nothing. It looks at this machine too (can the folders be written to, are certificates, tokens and other files
there and good, do two listeners share a port), but neither binds ports nor connects. It ends with 0 when one can start with the file,
2 when the file is wrong, 1 when only the machine lacks something.

An unknown key, a key at the wrong place and a value that is not understood are errors with line and column, and the exit
code is 2. Yes and no may be written \`yes\`, \`no\`, \`on\`, \`off\`, \`true\` or \`false\`; times \`90s\`, \`30m\`, \`1h30m\`; sizes
\`512KiB\`, \`10MiB\`. A list of one may be written without the list. An address \`:3025\` means every interface. Tokens
may be the absolute path of a file that holds the token.

Keys marked **no effect yet** are read and checked, so that files written by the admin guide load, and do nothing in this
version. Values without which a cluster would be less safe than its file says are refused at start instead; of other
sections without effect \`teleport start\` warns.

${sections.join("\n\n")}

## Logs

Lines of \`log.format: text\` begin with time (UTC), severity and component; what others sent is escaped, so that nobody can forge a line
or drive a terminal. In the system log they begin with the component, and come from \`teleport\` with the facility \`daemon\`. The banner,
and warnings about how the daemon was started, are for the terminal and come whatever \`log\` says.

## Behind a load balancer

Balancers pass on the SSH port as TCP, and the web port as TCP or with TLS ended by a certificate of their own. In the second case start
the daemon with \`--insecure\`: it then serves TLS with its own certificate and, at the same port, clear HTTP to loopback and private
addresses, so that the balancer may encrypt again or not; or with \`--insecure-no-tls\`: clear HTTP only, to everybody who reaches the port,
so keep others off it. Set \`public_addr\` to the balancer's address, which stands in links. Cookies are for HTTPS only and answers tell
browsers to stay with it, for that is what people speak with the balancer.

With \`proxy_protocol\` on, a line of the PROXY protocol (version 1) is taken from loopback and private addresses: the audit log, certificates
bound to an address and the web port's limits by address then go by the client's address. From other addresses, or with
\`proxy_protocol: off\`, such a line ends the connection. The limits of SSH listeners go by the socket all the same: raise them, and put
the balancer into \`penalties.exempt\`.

## Limits of SSH listeners

The keys under \`teleport.connection_limits\` hold for the SSH ports of the proxy and the node. A source is an address, or a
network of \`source_netblock\` bits, as the socket has it: what a client or a proxy says of addresses counts for the audit log
only. What the limits do shows under \`/metrics\` of \`--diag-addr\` ([diagnostics](diagnostics.md)), each with \`service\`, which is \`proxy\` or \`node\`:

| metric | what it counts |
| --- | --- |
| \`teleport_ssh_connections\` | open connections |
| \`teleport_ssh_connections_unauthenticated\` | those that have not logged in: \`max_unauthenticated\` |
| \`teleport_ssh_connections_refused_total\` | refused connections by \`reason\`: \`connections_per_source\` (\`max_connections\`), \`unauthenticated\`, \`unauthenticated_per_source\`, \`penalty\`, \`rate\` (\`rates\`) |
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
