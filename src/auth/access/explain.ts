import type { AccessExplanation } from "#contract/auth";
import { closest } from "#core/closest";
import { formatDuration } from "#core/duration";
import { Fault } from "#core/errors";
import {
  type Access,
  type Action,
  accountProblem,
  allLabels,
  bestOf,
  type Caller,
  type Decision,
  isUnixName,
  type Node,
  namesOf,
  onceIn,
  parseAction,
  type ResourceKind,
  type Role,
  writtenAt,
} from "#model";
import { addressesOf, addressesOfAll } from "#net";
import type { Parts } from "../parts.ts";
import { accessOfUser, findRoles } from "./person.ts";

/**
 * What the roles of now decide for a user, with the rule that decides and what came nearest: by the functions that decide at
 * nodes, proxies and this API. Throws `not_found` and `bad_parameter` with what there is instead.
 */
export async function explain(
  parts: Parts,
  asked: { user: string; target?: string | undefined; action: string },
  caller: Caller,
): Promise<AccessExplanation> {
  const { store, clock } = parts;
  const action = parseAction(asked.action);
  const require = mayRead(caller);
  for (const kind of ["user", "role", "node"] as const) require(kind);
  const user = await store.users.find(asked.user);
  if (!user) throw missing("user", asked.user, (await store.users.list()).map(nameOf));
  require("user", user);
  const access = await accessOfUser(parts, user);
  const roles = await findRoles(parts, asked.user, user.spec.roles);
  for (const role of roles) require("role", role);
  const said = { user: asked.user, action: asked.action, roles: [...access.roles] };
  const problem = accountProblem(user, clock.now());

  if (action.kind === "rule") {
    if (asked.target !== undefined)
      throw wrong(`${asked.action} is asked of the cluster, not of a node: leave out ${asked.target}`);
    const decision = access.can(action.verb, action.resource, await resourceOf(parts, action));
    return { ...said, notes: [], ...verdict(decision, roles, problem) };
  }

  const { login, name } = readTarget(asked.target);
  const node = findNode(name, await store.nodes.list(), parts.clusterName);
  require("node", node);
  const notes: string[] = [];
  const labels = allLabels(node);
  const at = { login, labels };
  const decision =
    action.kind === "login"
      ? access.login(login, labels)
      : action.kind === "agent"
        ? onceIn(access, at, () => access.agent(login))
        : await forwarding(access, action, at, notes);
  const limits = access.options(await store.config.get("config"));
  return {
    ...said,
    login,
    node: { id: node.metadata.name, hostname: node.spec.hostname, labels },
    options: {
      max_session_ttl: formatDuration(limits.maxSessionTtl),
      client_idle_timeout:
        limits.clientIdleTimeout === 0 ? "never" : formatDuration(limits.clientIdleTimeout),
      disconnect_expired_cert: limits.disconnectExpiredCert,
      recording: limits.recording,
      pin_source_ip: limits.pinSourceIp,
      ...(limits.sourceAddresses && { source_addresses: [...limits.sourceAddresses] }),
    },
    notes,
    ...verdict(decision, roles, problem),
  };
}

async function forwarding(
  access: Access,
  action: Extract<Action, { kind: "forward" }>,
  at: { login: string; labels: Readonly<Record<string, string>> },
  notes: string[],
): Promise<Decision> {
  const known = await addressesOfAll(access.namedHosts);
  const where = { ...at, addressesOf: (name: string) => known.get(name) };
  const { way: kind } = action;
  if ("path" in action) return onceIn(access, at, () => access.forward({ kind, path: action.path }, where));
  const { host, port } = action;
  const everywhere = kind === "listen" && (host === "" || host === "*");
  const addresses = everywhere ? [] : await addressesOf(host).catch(() => undefined);
  if (!addresses)
    notes.push(`${host} cannot be looked up here; entries with addresses are taken not to hold it`);
  else if (addresses.length > 0 && !addresses.includes(host))
    notes.push(`${host} is ${addresses.join(", ")} for the auth server; the node looks it up itself`);
  return onceIn(access, at, () => {
    if (kind === "listen") return access.forward({ kind, host, addresses: addresses ?? [host], port }, where);
    const each = (addresses ?? [host]).map((address) => access.forward({ kind, host, address, port }, where));
    return bestOf(each) ?? access.forwards();
  });
}

type Verdict = Pick<AccessExplanation, "allowed" | "by" | "reason" | "decided" | "nearest">;

function verdict(decision: Decision, roles: readonly Role[], problem: string | undefined): Verdict {
  const { allowed, by, reason } = decision;
  if (problem !== undefined) return { allowed: false, by: "account", reason: problem };
  const otherwise = decision.otherwise?.();
  return {
    allowed,
    by,
    reason,
    ...(by !== "nothing" && { decided: grounds(decision, roles) }),
    // What denies stands in the way of what else would have been decided; where nothing allows, what came nearest was named.
    ...(by === "nothing" &&
      decision.role && { nearest: { ...grounds(decision, roles), would_allow: false } }),
    ...(otherwise && { nearest: { ...grounds(otherwise, roles), would_allow: otherwise.allowed } }),
  };
}

function grounds({ reason, role: name, rule }: Decision, roles: readonly Role[]) {
  const role = roles.find(({ metadata }) => metadata.name === name);
  const text = role && rule !== undefined ? writtenAt(role, rule) : undefined;
  return {
    reason,
    ...(name !== undefined && { role: name }),
    ...(rule !== undefined && { rule }),
    ...(text !== undefined && { text: JSON.stringify(text) }),
  };
}

/** `LOGIN@NODE`; a login may hold an `@`, a node's name may not. */
function readTarget(target: string | undefined): { login: string; name: string } {
  const at = target?.lastIndexOf("@") ?? -1;
  const [login, name] = [target?.slice(0, at) ?? "", target?.slice(at + 1) ?? ""];
  if (target === undefined || at < 1 || name === "")
    throw wrong("say as whom and where: LOGIN@NODE, for example root@db-1");
  if (!isUnixName(login)) throw wrong(`${JSON.stringify(login)} can be no login of a Unix machine`);
  return { login, name };
}

/** By id, by name, or by name with the cluster's behind it. */
function findNode(name: string, nodes: readonly Node[], cluster: string): Node {
  const wanted = name.toLowerCase();
  const suffix = `.${cluster.toLowerCase()}`;
  const short = wanted.endsWith(suffix) ? wanted.slice(0, -suffix.length) : wanted;
  const byId = nodes.find(({ metadata }) => metadata.name === short);
  const found = byId ? [byId] : nodes.filter((node) => [wanted, short].some((one) => namesOf(node).has(one)));
  const [node, ...others] = found;
  if (!node) {
    throw missing(
      "node",
      name,
      nodes.map(({ spec }) => spec.hostname),
      "; roles do not decide about hosts that are no nodes, proxy_service.openssh_targets does",
    );
  }
  if (others.length > 0) {
    const ids = found.map(({ metadata, spec }) => `${metadata.name} (${spec.addr || "by tunnel"})`).sort();
    throw wrong(
      `${JSON.stringify(name)} is ambiguous: name one of these by its id: ${ids.slice(0, 10).join(", ")}`,
    );
  }
  return node;
}

/** The resource itself, where a rule may have a condition on it. Throws `not_found`. */
async function resourceOf(
  { store }: Parts,
  { resource, name }: Extract<Action, { kind: "rule" }>,
): Promise<object | undefined> {
  if (name === undefined) return undefined;
  if (resource === "user") return store.users.get(name);
  if (resource === "role") return store.roles.get(name);
  if (resource === "node") return store.nodes.get(name);
  return { metadata: { name } };
}

const nameOf = ({ metadata }: { metadata: { name: string } }): string => metadata.name;

function missing(what: string, name: string, known: readonly string[], more = ""): Fault {
  const near = closest(name, known);
  const hint = near === undefined ? "" : `; do you mean ${near}?`;
  return new Fault("not_found", `there is no ${what} ${JSON.stringify(name)}${hint}${more}`);
}

const wrong = (sentence: string): Fault => new Fault("bad_parameter", sentence);

/** Whether the caller may know all that an explanation tells: of some user, role and node, then of each. Throws `access_denied`. */
const mayRead = (caller: Caller) => (kind: ResourceKind, about?: { metadata: { name: string } }) => {
  if (caller.can("read", kind, about)) return;
  const which = about ? ` ${JSON.stringify(about.metadata.name)}` : "";
  throw new Fault("access_denied", `${caller.name} may not read the ${kind}${which}`);
};
