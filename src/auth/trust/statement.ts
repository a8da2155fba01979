import { z } from "zod";
import { Fault } from "#core/errors";
import { CertAuthority } from "#model";
import {
  type PublicKey,
  parsePrivateKey,
  parsePublicKeyLine,
  sameKey,
  signerOf,
  signMessage,
} from "#ssh/keys";
import type { Parts } from "../parts.ts";
import { ownAuthorities } from "./authorities.ts";

/**
 * What a cluster tells those that are linked to it of its own authorities, so that links survive rotations (ROT-10, TC-16): signed by
 * its host authority, so that the proxies which carry it could not make one. Any of the keys that sign will do, since who was away
 * for a phase of a rotation may know the old one only.
 */
const Statement = z.strictObject({
  format: z.literal(1),
  cluster: z.string(),
  /** When it was made, by the clock of that cluster: an older one is not taken after a newer. */
  at: z.int().nonnegative(),
  authorities: z.array(CertAuthority).min(1).max(2),
});
type Statement = z.output<typeof Statement>;

const Signed = z.strictObject({
  statement: z.string(),
  /** Blobs of PROTOCOL.sshsig, base64. */
  signatures: z.array(z.string()).min(1).max(8),
});

const namespace = "authorities@teleport";

/** This cluster's statement about itself as it is now. */
export async function makeStatement(parts: Pick<Parts, "store" | "clusterName" | "clock">): Promise<string> {
  const { store, clusterName, clock } = parts;
  const statement = JSON.stringify({
    format: 1,
    cluster: clusterName,
    at: clock.now(),
    authorities: await ownAuthorities(parts, ["host", "user"]),
  } satisfies Statement);
  const { spec } = await store.authorities.get(`host/${clusterName}`);
  const signatures = await Promise.all(
    (spec.signing_keys ?? []).map(async (text) =>
      Buffer.from(
        await signMessage(parsePrivateKey(text).key.signer(), namespace, Buffer.from(statement)),
      ).toString("base64"),
    ),
  );
  return JSON.stringify({ statement, signatures } satisfies z.output<typeof Signed>);
}

/**
 * What the cluster `name` says of itself, if one of `known`, its authorities as they are known here, has signed it. Throws
 * `access_denied` when none has, `protocol` for what makes no sense.
 */
export function readStatement(
  text: string,
  name: string,
  known: readonly CertAuthority[],
): Pick<Statement, "at" | "authorities"> {
  const signed = Signed.safeParse(json(text));
  const statement = Statement.safeParse(json(signed.data?.statement ?? ""));
  if (!signed.success || !statement.success)
    throw new Fault("protocol", `what ${name} says of its authorities makes no sense`);
  const keys = known
    .filter(({ spec }) => spec.type === "host")
    .flatMap(({ spec }) => spec.checking_keys.map((line) => parsePublicKeyLine(line).key));
  const { statement: message, signatures } = signed.data;
  if (statement.data.cluster !== name || !signatures.some((one) => isSignedBy(one, message, keys)))
    throw new Fault(
      "access_denied",
      `what is said of the authorities of ${name} is not signed by one that is known here; if ${name} has replaced them at once, or was not connected during a rotation, link the clusters anew`,
    );
  return statement.data;
}

function isSignedBy(signature: string, message: string, keys: readonly PublicKey[]): boolean {
  try {
    const key = signerOf(Buffer.from(signature, "base64"), namespace, Buffer.from(message));
    return keys.some((known) => sameKey(known, key));
  } catch (err) {
    if (err instanceof Fault && err.kind !== "internal") return false;
    throw err;
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
