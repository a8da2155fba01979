import { z } from "zod";
import { AuditEvent, describe } from "#events";
import { code, printed, table } from "./markdown.ts";

interface Field {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly string[];
  readonly format?: string;
  readonly items?: Field;
}
interface Shape {
  readonly properties: Readonly<Record<string, Field>>;
  readonly required: readonly string[];
}

/** In every event, or told apart from the others at the top of the page. */
const common = ["uid", "time", "namespace", "ei", "proto", "event", "code"];

/** `docs/events.md`: every event of the audit log with its fields. */
export function eventsPage(): string {
  const shapes = AuditEvent.options.map((option) => z.toJSONSchema(option) as unknown as Shape);
  const own = (shape: Shape): [string, Field][] =>
    Object.entries(shape.properties).filter(([name]) => !common.includes(name));
  const kinds = new Map<string, Set<string>>();
  for (const shape of shapes) {
    for (const [name, field] of own(shape)) {
      kinds.set(name, (kinds.get(name) ?? new Set()).add(kindOf(field)));
    }
  }
  const rows = shapes.map((shape) => [
    code(String(shape.properties.code?.const)),
    code(String(shape.properties.event?.const)),
    sentenceOf(shape),
    own(shape)
      .map(([name]) => code(shape.required.includes(name) ? name : `${name}?`))
      .join(" "),
  ]);
  return `${printed}

# Audit events

One JSON object a line, in \`<data_dir>/log/YYYY-MM-DD.00:00:00.log\` (UTC days). The code tells what happened and how it
went: it ends in \`I\` for information, \`W\` for a warning, \`E\` for an error. Codes from T1000 to T3999 are those of the
admin guide; T4000 and up go past it.

Every event has \`event\`, \`code\`, \`uid\` (a UUID), \`time\` (RFC 3339, UTC; with milliseconds inside a session) and
\`namespace\`. Events of a session also count from 0 in \`ei\`. \`proto\` is \`ssh\` when it is absent.

A field with a question mark may be absent. In the sentences, words in capitals stand for the field of that name.

${table(["code", "event", "what it says", "its own fields"], rows)}

## Fields

${table(
  ["field", "what it holds"],
  [...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, all]) => [code(name), [...all].join("; or ")]),
)}

\`addr.local\` and \`addr.remote\` are written \`host:port\`; \`size\` is \`columns:rows\`; \`len\`, \`tx\`, \`rx\` and
\`unrecorded_bytes\` count bytes, \`tx\` and \`rx\` as the client sees them; \`server_id\` is the host id of the node;
\`sid\` names the session and its recording. An invite token never stands in an event.
`;
}

const kindOf = ({ type, const: only, enum: some, format, items }: Field): string => {
  if (only !== undefined) return code(JSON.stringify(only));
  if (some) return some.map((value) => code(value)).join(", ");
  if (items) return `list of ${kindOf(items)}s`;
  if (format === "uuid") return "UUID";
  if (format === "date-time") return "time";
  return type === "string" ? "text" : String(type);
};

/** What \`describe\` says of an event whose fields hold their own names. */
function sentenceOf({ properties }: Shape): string {
  const sample = Object.fromEntries(
    Object.entries(properties).map(([name, { const: only, items }]) => {
      const word = name.toUpperCase().replace("ADDR.", "ADDR_");
      return [name, only ?? (items ? [word] : word)];
    }),
  );
  return describe(sample as AuditEvent);
}
