import type { Millis } from "#core/clock";
import { formatDuration } from "#core/duration";
import { Fault } from "#core/errors";
import type { CertAuthority, Rotation, RotationPhase } from "#model";

/** The keys of one generation of an authority. */
export interface Generation extends Pick<CertAuthority["spec"], "checking_keys" | "tls_key_pairs"> {
  readonly signing_keys: string[];
}

/** What is asked of a rotation: to begin by itself, to be done at once, or to take one step by hand. */
export type RotationWish =
  | { readonly mode: "auto"; readonly gracePeriod: Millis }
  | { readonly mode: "manual"; readonly gracePeriod: Millis; readonly phase: RotationPhase };

interface Moment {
  readonly now: Millis;
  /** For a rotation that begins. */
  readonly id: string;
  /** For a rotation that begins: what takes the old keys' place. */
  readonly fresh: Generation;
}

/** Which phases may follow each (ROT-06). */
const followers: Readonly<Record<RotationPhase, readonly RotationPhase[]>> = {
  standby: ["init"],
  init: ["update_clients", "rollback"],
  update_clients: ["update_servers", "rollback"],
  update_servers: ["standby", "rollback"],
  rollback: ["standby"],
};

const idle: Rotation = { state: "standby", phase: "standby" };
export const rotationOf = ({ spec }: CertAuthority): Rotation => spec.rotation ?? idle;

/** Whether the wish needs new keys: they take time to make, and a step does not wait. */
export const begins = (ca: CertAuthority, wish: RotationWish): boolean =>
  rotationOf(ca).phase === "standby" && (wish.mode === "auto" || wish.phase === "init");

/** The authority after a step that somebody asked for. Throws `compare_failed` where the phase of now allows no such step. */
export function rotate(ca: CertAuthority, wish: RotationWish, moment: Moment): CertAuthority {
  const { phase, state } = rotationOf(ca);
  if (wish.mode === "manual") {
    if (!followers[phase].includes(wish.phase)) throw notFrom(ca, wish.phase);
    return phase === "standby" ? begin(ca, wish, moment) : enter(ca, wish.phase, moment.now);
  }
  if (state === "in_progress")
    throw new Fault(
      "compare_failed",
      `can not initiate a rotation of the ${ca.spec.type} CA while another is in progress, in phase ${phase}: wait for its end, or move it by hand with --manual --phase=PHASE`,
    );
  return wish.gracePeriod === 0 ? replace(ca, moment) : begin(ca, wish, moment);
}

/** When the next step is due, and which; undefined when nothing is to come by itself. */
export function due(ca: CertAuthority): { readonly phase: RotationPhase; readonly at: Millis } | undefined {
  const { state, mode, phase, schedule } = rotationOf(ca);
  if (state !== "in_progress" || mode !== "auto" || !schedule) return undefined;
  if (phase === "init") return { phase: "update_clients", at: Date.parse(schedule.update_clients) };
  if (phase === "update_clients") return { phase: "update_servers", at: Date.parse(schedule.update_servers) };
  if (phase === "update_servers") return { phase: "standby", at: Date.parse(schedule.standby) };
  return undefined;
}

/** A step later than this was missed, as by an auth server that was away: the steps after it wait as much longer. */
const late: Millis = 5_000;

/** The authority after the step that is due. */
export function proceed(ca: CertAuthority, now: Millis): CertAuthority {
  const next = due(ca);
  if (!next || next.at > now)
    throw new Fault("internal", `no step of the ${ca.spec.type} CA's rotation is due`);
  const { schedule } = rotationOf(ca);
  const behind = now - next.at > late ? now - next.at : 0;
  return enter(ca, next.phase, now, schedule && postponed(schedule, behind));
}

/** From now on only by hand, as after a step that failed (ROT-07). */
export function byHand(ca: CertAuthority): CertAuthority {
  const { schedule: _, ...rotation } = rotationOf(ca);
  return { ...ca, spec: { ...ca.spec, rotation: { ...rotation, mode: "manual" } } };
}

function begin(ca: CertAuthority, { mode, gracePeriod }: RotationWish, moment: Moment): CertAuthority {
  const { now, id, fresh } = moment;
  const old = generationOf(ca);
  const third = (n: number): string => rfc3339(now + (gracePeriod * n) / 3);
  const { last_rotated } = rotationOf(ca);
  return {
    ...ca,
    spec: {
      ...ca.spec,
      ...join(old, fresh),
      rotation: {
        state: "in_progress",
        phase: "init",
        mode,
        current_id: id,
        started: rfc3339(now),
        grace_period: formatDuration(gracePeriod),
        ...(last_rotated !== undefined && { last_rotated }),
        ...(mode === "auto" && {
          schedule: { update_clients: third(1), update_servers: third(2), standby: third(3) },
        }),
      },
    },
  };
}

/** Everything of before is refused from this moment on (ROT-08). */
function replace(ca: CertAuthority, { now, id, fresh }: Moment): CertAuthority {
  const rotation: Rotation = {
    state: "standby",
    phase: "standby",
    current_id: id,
    started: rfc3339(now),
    grace_period: formatDuration(0),
    last_rotated: rfc3339(now),
  };
  return { ...ca, spec: { ...ca.spec, ...fresh, rotation } };
}

/** `phase` is one that follows. Without a schedule the rotation goes on by hand only. */
function enter(
  ca: CertAuthority,
  phase: RotationPhase,
  now: Millis,
  schedule?: Rotation["schedule"],
): CertAuthority {
  const before = rotationOf(ca);
  const all = generationOf(ca);
  const { schedule: _, ...kept } = before;
  const rolledBack = before.phase === "rollback";
  const rotation: Rotation =
    phase === "standby"
      ? { ...kept, phase, state: "standby", ...(!rolledBack && { last_rotated: rfc3339(now) }) }
      : { ...kept, phase, mode: schedule ? "auto" : "manual", ...(schedule && { schedule }) };
  const keys = {
    init: all,
    update_clients: lastFirst(all),
    update_servers: all,
    rollback: before.phase === "init" ? all : firstLast(all),
    standby: rolledBack ? withoutLast(all) : firstOnly(all),
  }[phase];
  return { ...ca, spec: { ...ca.spec, ...keys, rotation } };
}

function postponed(schedule: NonNullable<Rotation["schedule"]>, by: Millis): typeof schedule {
  const later = (time: string): string => rfc3339(Date.parse(time) + by);
  const { update_clients, update_servers, standby } = schedule;
  return {
    update_clients: later(update_clients),
    update_servers: later(update_servers),
    standby: later(standby),
  };
}

function notFrom(ca: CertAuthority, wanted: RotationPhase): Fault {
  const { phase } = rotationOf(ca);
  const from = (Object.keys(followers) as RotationPhase[]).filter((each) => followers[each].includes(wanted));
  return new Fault(
    "compare_failed",
    `can only switch to phase ${wanted} from ${from.join(", ")}, current phase is ${phase} (of the ${ca.spec.type} CA)`,
  );
}

function generationOf({ spec }: CertAuthority): Generation {
  const { checking_keys, signing_keys, tls_key_pairs } = spec;
  if (!signing_keys || signing_keys.length !== checking_keys.length)
    throw new Fault("internal", `the ${spec.type} CA of ${spec.cluster_name} has no private keys`);
  return { checking_keys, signing_keys, tls_key_pairs };
}

/** Each of the lists, by the same rule: their entries belong together. */
const each = ({ checking_keys, signing_keys, tls_key_pairs }: Generation, rule: Rule): Generation => ({
  checking_keys: rule(checking_keys),
  signing_keys: rule(signing_keys),
  tls_key_pairs: rule(tls_key_pairs),
});
type Rule = <T>(list: readonly T[]) => T[];

const join = (old: Generation, fresh: Generation): Generation => ({
  checking_keys: [...old.checking_keys, ...fresh.checking_keys],
  signing_keys: [...old.signing_keys, ...fresh.signing_keys],
  tls_key_pairs: [...old.tls_key_pairs, ...fresh.tls_key_pairs],
});
const lastFirst = (all: Generation): Generation =>
  each(all, (list) => [...list.slice(-1), ...list.slice(0, -1)]);
const firstLast = (all: Generation): Generation =>
  each(all, (list) => [...list.slice(1), ...list.slice(0, 1)]);
const firstOnly = (all: Generation): Generation => each(all, (list) => list.slice(0, 1));
const withoutLast = (all: Generation): Generation => each(all, (list) => list.slice(0, -1));

const rfc3339 = (ms: Millis): string => new Date(ms).toISOString();
