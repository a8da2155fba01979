import { type AddressRange, contains, formatRange, overlap, parseIp, parseRange } from "#core/cidr";
import { hour, type Millis } from "#core/clock";
import { parseDuration } from "#core/duration";
import { Fault } from "#core/errors";
import type { ClusterConfig } from "./cluster.ts";
import type { Recording, Role } from "./role.ts";

/** The longest life of a user's certificate where no role says less (OVW-22). */
const defaultMaxSessionTtl: Millis = 30 * hour;

/** Options of all roles taken together (RBAC-03, RBAC-04). */
export interface SessionOptions {
  readonly maxSessionTtl: Millis;
  readonly portForwarding: boolean;
  /** Whether some role allows it at all; for one login see `Access.agent`. */
  readonly agentForwarding: boolean;
  /** 0 is never. */
  readonly clientIdleTimeout: Millis;
  readonly disconnectExpiredCert: boolean;
  readonly certFormat: "standard" | "oldssh";
  /** Of what passes through SSH; with `required` a session that cannot be recorded must not go on. */
  readonly recording: "on" | "off" | "required";
  /** Certificates are good only at the address that their login came from. */
  readonly pinSourceIp: boolean;
  /** Where alone certificates are good, as ranges; undefined: anywhere. Empty: nowhere, since the roles have no address in common. */
  readonly sourceAddresses: readonly string[] | undefined;
}

/** What of the cluster's settings roles can tighten. */
export type ClusterLimits = Pick<
  ClusterConfig,
  "client_idle_timeout" | "disconnect_expired_cert" | "session_recording"
>;
const noLimits: ClusterLimits = {
  client_idle_timeout: 0,
  disconnect_expired_cert: false,
  session_recording: "node",
};

/** The options of `roles`, the user's own; a role tightens what the cluster sets and never loosens it, but for `record_session: off`. */
export function optionsOf(roles: readonly Role[], cluster: ClusterLimits = noLimits): SessionOptions {
  const set = roles.map((role) => role.spec.options);
  const spans = (texts: (string | undefined)[]): Millis[] =>
    texts.map((text) => (text ? parseDuration(text) : 0)).filter((span) => span > 0);
  const idle = spans(set.map((o) => o.client_idle_timeout));
  if (cluster.client_idle_timeout > 0) idle.push(cluster.client_idle_timeout);
  const ttls = set.map((o) => spans([o.max_session_ttl])[0] ?? defaultMaxSessionTtl);
  return {
    maxSessionTtl: Math.min(...(ttls.length > 0 ? ttls : [defaultMaxSessionTtl])),
    portForwarding: set.some((o) => o.port_forwarding ?? true),
    agentForwarding: set.some((o) => o.forward_agent ?? false),
    clientIdleTimeout: idle.length > 0 ? Math.min(...idle) : 0,
    disconnectExpiredCert:
      cluster.disconnect_expired_cert || set.some((o) => o.disconnect_expired_cert ?? false),
    certFormat: set.some((o) => o.cert_format === "oldssh") ? "oldssh" : "standard",
    recording: recordingOf(
      set.map(({ record_session: of }) => saidOfSsh(of)),
      cluster.session_recording,
    ),
    pinSourceIp: set.some((o) => o.pin_source_ip ?? false),
    sourceAddresses: commonSources(set.map((o) => o.source_addresses)),
  };
}

/** Required where one role demands it; off where the cluster has it off, or every role. */
function recordingOf(
  said: readonly SessionOptions["recording"][],
  cluster: ClusterConfig["session_recording"],
): SessionOptions["recording"] {
  if (said.includes("required")) return "required";
  const off = cluster === "off" || (said.length > 0 && said.every((one) => one === "off"));
  return off ? "off" : "on";
}

function saidOfSsh(said: Role["spec"]["options"]["record_session"]): SessionOptions["recording"] {
  const word: Recording | undefined = typeof said === "object" ? (said.ssh ?? said.default) : said;
  if (word === "required" || word === "strict") return "required";
  return word === "off" ? "off" : "on";
}

/** Reads an entry of `source_addresses`. Throws `bad_parameter`. */
export function parseSource(text: string): AddressRange {
  const range = parseRange(text);
  if (!range)
    throw new Fault("bad_parameter", `${JSON.stringify(text)} is no address and no range; write 10.0.0.0/8`);
  return range;
}

/** Each role's list is a limit of its own, so that only what all of them hold is left. */
function commonSources(lists: readonly (readonly string[] | undefined)[]): readonly string[] | undefined {
  let common: AddressRange[] | undefined;
  for (const list of lists) {
    const own = list?.map(parseSource);
    if (!own) continue;
    common = common
      ? common.flatMap((one) => own.map((other) => overlap(one, other)).filter((both) => both !== undefined))
      : own;
  }
  return common && [...new Set(common.map(formatRange))].sort();
}

/**
 * The addresses that a certificate is bound to, of somebody who logs in from the address `from`: ranges, undefined for none.
 * Throws `access_denied` with a sentence for that person when the roles let nobody in from there; `from` is undefined
 * where there is no login, as when an administrator signs.
 */
export function sourcesFor(options: SessionOptions, from: string | undefined): readonly string[] | undefined {
  const { pinSourceIp, sourceAddresses } = options;
  const address = from === undefined ? undefined : parseIp(from);
  const here = address && { network: address, bits: address.length * 8 };
  if (sourceAddresses && (from !== undefined || sourceAddresses.length === 0)) {
    const inside = address && sourceAddresses.some((range) => contains(parseSource(range), address));
    if (!inside) {
      const only = sourceAddresses.length > 0 ? `only from ${sourceAddresses.join(", ")}` : "from nowhere";
      throw new Fault(
        "access_denied",
        `your roles let you log in ${only}, and you come from ${from ?? "an unknown address"}`,
      );
    }
  }
  if (!pinSourceIp) return sourceAddresses;
  if (!here)
    throw new Fault(
      "access_denied",
      from === undefined
        ? "the account's roles bind certificates to the address of a login (pin_source_ip), and a certificate that is signed for it has none; give it a role with source_addresses instead"
        : "your roles bind certificates to the address of their login, and that is not known here",
    );
  return [formatRange(here)];
}
