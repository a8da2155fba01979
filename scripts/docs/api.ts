import { authContract } from "#contract/auth";
import { operationPath } from "#contract/wire";
import type { Caller, SystemRole } from "#model";
import { callers } from "../../src/auth/access/callers.ts";
import type { Parts } from "../../src/auth/parts.ts";
import { code, printed, table } from "./markdown.ts";
import { core, defOf, shapeOf } from "./zod.ts";

type Operation = (typeof authContract)[keyof typeof authContract];
type Input = Readonly<Record<string, unknown>>;

const cluster = "example";
const me = "00000000-0000-4000-8000-000000000001";
const another = "00000000-0000-4000-8000-000000000002";

/** `docs/api.md`: who may call what of the auth API, found by asking the contract's own rules. */
export async function apiPage(): Promise<string> {
  const { callerOf } = callers({ clusterName: cluster } as Parts);
  const machine = (role: SystemRole): Promise<Caller> =>
    callerOf({ kind: "system", role, hostId: me, cluster });
  const machines = [await machine("Node"), await machine("Proxy"), await machine("Admin")];
  const stranger = await callerOf({ kind: "anonymous" });
  const rows = Object.entries(authContract).flatMap(([name, operation]) =>
    variants(operation).map(([label, extra]) => [
      code(name) + label,
      operation.shape,
      ...[stranger, ...machines].map((caller) => answer(operation, caller, extra)),
      personAnswer(operation, extra),
    ]),
  );
  return `${printed}

# The auth API

What machines, proxies and \`tctl\` ask of the auth service on port 3025: JSON over HTTPS, \`POST ${operationPath("NAME")}\`. The client's TLS
certificate says who calls. Inputs and outputs are the schemas in \`src/contract/calls\`; every call is parsed, then
allowed or refused, and only then carried out.

A *stranger* has no certificate: what it may call checks a secret of its own. *Its own* means its own record, certificate or
events. The *administrator* is \`tctl\` on the auth service's host, and the auth service itself. A *person* needs a rule in a
role with the verb and the resource that stand there. A *feed* answers with a line of JSON at a time, an *upload* takes bytes.

${table(["call", "shape", "stranger", "node", "proxy", "administrator", "person"], rows)}
`;
}

/** Rules may look at a switch of the input: each such switch makes a row of its own. */
function variants(operation: Operation): [label: string, extra: Input][] {
  const switches = Object.entries(shapeOf(operation.input) ?? {}).filter(
    ([, schema]) => defOf(core(schema)).type === "boolean",
  );
  const off = Object.fromEntries(switches.map(([name]) => [name, false]));
  return [
    ["", off],
    ...switches.map(([name]): [string, Input] => [` with ${code(name)}`, { ...off, [name]: true }]),
  ];
}

/** An input that concerns the host or user `id`, as far as any rule looks at one. */
const about = (id: string, caller: Caller, extra: Input): Input => ({
  ...extra,
  name: id,
  host_id: id,
  role: caller.kind === "system" ? caller.role : "",
  metadata: { name: id },
  events: [{ server_id: id }],
});

function allows({ allow }: Operation, caller: Caller, input: Input): boolean {
  return typeof allow === "function"
    ? allow(caller, input as never)
    : caller.can(...(allow as [never, never]));
}

function answer(operation: Operation, caller: Caller, extra: Input): string {
  if (allows(operation, caller, about(another, caller, extra))) return "yes";
  return allows(operation, caller, about(me, caller, extra)) ? "its own" : "";
}

/** A person whose roles allow nothing, then everything, with note of what was asked of them. */
function personAnswer(operation: Operation, extra: Input): string {
  const asked = new Set<string>();
  const person = (may: boolean): Caller => ({
    kind: "user",
    user: me,
    name: me,
    roles: [],
    logins: [],
    traits: {},
    cluster,
    expires: 0,
    can(verb, kind) {
      asked.add(code(`${verb} ${kind}`));
      return may;
    },
  });
  const bare = answer(operation, person(false), extra);
  if (bare === "yes" || answer(operation, person(true), extra) !== "yes") return bare;
  return [...(bare ? [bare] : []), ...asked].join(" or ");
}
