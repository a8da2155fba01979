import { Fault } from "#core/errors";
import { type Caller, type CertAuthority, neverTime } from "#model";
import { authorityPin, checkAuthorityPair } from "#pki";
import { fingerprint, type PublicKey, parsePrivateKey, parsePublicKeyLine, sameKey } from "#ssh/keys";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";

/**
 * Puts back authorities of this cluster from a backup (RES-34), all of those given or none: whoever holds certificates of
 * the present ones has to join or log in again, unless the keys are the same. Throws `bad_parameter` for anything
 * that could not sign as it says, `already_exists` without `force`.
 */
export async function restoreAuthorities(
  parts: Parts,
  given: readonly CertAuthority[],
  force: boolean,
  caller: Caller,
): Promise<void> {
  try {
    await restore(parts, given, force, caller);
  } catch (err) {
    const error = err instanceof Fault ? err.message : "internal error";
    await record(parts, { code: "T4130W", user: caller.name, success: false, error });
    throw err;
  }
}

async function restore(
  parts: Parts,
  given: readonly CertAuthority[],
  force: boolean,
  caller: Caller,
): Promise<void> {
  const { store, clusterName } = parts;
  const types = given.map(({ spec }) => spec.type);
  if (new Set(types).size < types.length)
    throw new Fault("bad_parameter", `there is one ${types[0]} authority, and the file has two`);
  const found = await Promise.all(
    (["user", "host"] as const).map(async (type) => {
      const stored = await store.authorities.findVersioned(`${type}/${clusterName}`);
      if (!stored) throw new Fault("internal", `there is no ${type} authority`);
      const backup = given.find(({ spec }) => spec.type === type);
      return { type, stored, after: backup && usable(parts, backup, stored.value) };
    }),
  );
  if (!force)
    throw new Fault(
      "already_exists",
      `certificate authority '${types[0]}/${clusterName}' already exists; -f replaces it, with the keys of the file`,
    );
  const [user, host] = found.map(({ stored, after }) => publicKeys(after ?? stored.value));
  // Which authority signed a certificate decides whether it is a person's or a machine's.
  if (user?.some((key) => host?.includes(key)))
    throw new Fault("bad_parameter", "the user and the host authority may not have a key in common");
  const changed = found.flatMap(({ type, stored, after }) => (after ? [{ type, stored, after }] : []));
  await store.backend.commit(
    changed.map(({ after }) => store.authorities.putting(after)),
    found.map(({ type, stored }) => ({
      key: store.authorities.key(`${type}/${clusterName}`),
      revision: stored.revision,
    })),
  );
  for (const { type, after } of changed) {
    const print = fingerprint(sshKey(after, 0));
    await record(parts, {
      code: "T4130I",
      user: caller.name,
      success: true,
      kind: type,
      fingerprint: print,
    });
  }
}

/** The authority of the file, whole: with the private keys that are stored where it has none. */
function usable({ clusterName, clock }: Parts, ca: CertAuthority, now: CertAuthority): CertAuthority {
  const { type } = ca.spec;
  const within = <T>(field: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      if (!Fault.is(cause, "bad_parameter") && !Fault.is(cause, "protocol")) throw cause;
      throw new Fault(
        "bad_parameter",
        `cert_authority ${type}/${ca.metadata.name}, ${field}: ${cause.message}`,
        {
          cause,
        },
      );
    }
  };
  const wrong = (what: string): Fault => new Fault("bad_parameter", what);
  within("metadata", () => {
    if (ca.metadata.name !== clusterName || ca.spec.cluster_name !== clusterName)
      throw wrong(
        `only the authorities of this cluster, ${JSON.stringify(clusterName)}, can be restored; name it in metadata.name and spec.cluster_name`,
      );
    if (ca.metadata.expires !== undefined && ca.metadata.expires !== neverTime)
      throw wrong("an authority may not vanish by itself: take metadata.expires out");
  });
  within("spec.rotation", () => {
    if (now.spec.rotation?.state === "in_progress")
      throw wrong("a rotation is under way; end it first (tctl status shows where it stands)");
    const { state, phase } = ca.spec.rotation ?? { state: "standby", phase: "standby" };
    if (state !== "standby" || phase !== "standby")
      throw wrong(
        "the file was written during a rotation; take spec.rotation out to restore the keys at rest",
      );
  });
  const given = ca.spec.signing_keys ?? [];
  within("spec.signing_keys", () => {
    if (given.length > 0 && given.length !== ca.spec.checking_keys.length)
      throw wrong("wants one for each of spec.checking_keys, in their order, or none at all");
  });
  const secret = "get the file with tctl get cert_authority --with-secrets";
  const signing_keys = ca.spec.checking_keys.map((_, i) => {
    const key = within(`spec.checking_keys[${i}]`, () => sshKey(ca, i));
    return within(`spec.signing_keys[${i}]`, () => {
      if (key.certificate) throw wrong("an authority's key is no certificate itself");
      const text = given[i] || storedFor(key, now);
      if (!text) throw wrong(`the private key of ${fingerprint(key)} is neither here nor stored; ${secret}`);
      if (!sameKey(parsePrivateKey(text).key.publicKey, key))
        throw wrong(`is not the private key of spec.checking_keys[${i}] (${fingerprint(key)})`);
      return text;
    });
  });
  const tls_key_pairs = ca.spec.tls_key_pairs.map(({ cert, key: text }, i) =>
    within(`spec.tls_key_pairs[${i}]`, () => {
      const key = text || now.spec.tls_key_pairs.find((pair) => samePem(pair.cert, cert))?.key;
      if (!key) throw wrong(`the private key of this certificate is neither here nor stored; ${secret}`);
      return checkAuthorityPair({ cert, key }, clusterName, clock.now());
    }),
  );
  return { ...ca, spec: { ...ca.spec, signing_keys, tls_key_pairs } };
}

const sshKey = (ca: CertAuthority, i: number): PublicKey =>
  parsePublicKeyLine(ca.spec.checking_keys[i] ?? "").key;

const storedFor = (key: PublicKey, now: CertAuthority): string | undefined =>
  now.spec.signing_keys?.[now.spec.checking_keys.findIndex((_, i) => sameKey(sshKey(now, i), key))];

const samePem = (a: string, b: string): boolean => a.trim() === b.trim();

/** What the keys are known by, SSH and TLS. */
export const publicKeys = (ca: CertAuthority): string[] => [
  ...ca.spec.checking_keys.map((_, i) => fingerprint(sshKey(ca, i))),
  ...ca.spec.tls_key_pairs.map(({ cert }) => authorityPin(cert)),
];
