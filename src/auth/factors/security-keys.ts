import type { Condition } from "#backend";
import type { KeyAnswer, KeyCreated, KeyCreation, KeyRequest } from "#contract/webauthn";
import { type Millis, minute } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import type { ChallengeRecord, SecurityKeysRecord } from "#store";
import { record } from "../audit.ts";
import type { Parts } from "../parts.ts";
import { type RelyingParty, relyingParty } from "./relying-party.ts";

/** How long a key may take to answer (AUTH-38). */
const patience: Millis = 5 * minute;
/** ECDSA on P-256 and RSA with SHA-256: what the keys that people have can do. */
const algorithms = [-7, -257]; // COSE

type SecurityKey = SecurityKeysRecord["keys"][number];
/** What a key's signature is for. A challenge of one purpose is good for no other. */
export type Purpose = Pick<ChallengeRecord, "user" | "purpose" | "about">;

/** `password`: that the password which was checked is still the one of now. `why`: what is wrong, for the log. */
type Checked =
  | { readonly why: undefined; readonly password: Condition }
  | { readonly why: string; readonly password?: undefined };

// Loaded by the first person with a key; most of it is for attestations that are not asked for.
const library = () => import("@simplewebauthn/server");
const decoders = () => import("@simplewebauthn/server/helpers");

/**
 * Security keys as a second factor, by WebAuthn (AUTH-38). The password is the first factor, so a key need only be touched: no PIN,
 * no name stored on it, no attestation.
 */
export class SecurityKeys {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** What a page asks a new key of a person for. `about`: the invitation. */
  async creation(user: string, about: string): Promise<KeyCreation> {
    const { random, clusterName } = this.#parts;
    const { id } = await this.#party();
    return {
      rp: { id, name: `Teleport ${clusterName}` },
      // Kept nowhere: who logs in says who it is.
      user: { id: base64url(random.bytes(32)), name: user, displayName: user },
      challenge: await this.#challenge({ user, purpose: "enrol", about }),
      pubKeyCredParams: algorithms.map((alg) => ({ type: "public-key", alg })),
      timeout: patience,
      excludeCredentials: [],
      authenticatorSelection: {
        residentKey: "discouraged",
        requireResidentKey: false,
        userVerification: "discouraged",
      },
      attestation: "none",
    };
  }

  /** The key that answered `creation`. Throws `access_denied` for what does not answer it, and keeps why. */
  async enrol(created: KeyCreated, user: string, about: string, from: string): Promise<SecurityKey> {
    try {
      await this.#spend(created.response.clientDataJSON, { user, purpose: "enrol", about });
      await refuseAttestation(created);
      const { id, origins } = await this.#party();
      const { verifyRegistrationResponse } = await library();
      const { verified, registrationInfo } = await verifyRegistrationResponse({
        response: created,
        expectedChallenge: challengeIn(created.response.clientDataJSON),
        expectedOrigin: [...origins],
        expectedRPID: id,
        requireUserVerification: false,
        supportedAlgorithmIDs: algorithms,
      });
      if (!verified) throw new Error("its signature is wrong");
      const { credential } = registrationInfo;
      return {
        id: credential.id,
        publicKey: base64url(credential.publicKey),
        counter: credential.counter,
        transports: created.response.transports,
        added: this.#parts.clock.now(),
      };
    } catch (cause) {
      if (cause instanceof Fault && cause.kind !== "access_denied") throw cause;
      const error = "the security key was not enrolled; reload the page and try again";
      await record(this.#parts, {
        code: "T4110W",
        user,
        success: false,
        error,
        message: reason(cause),
        ...(from && { "addr.remote": from }),
      });
      throw new Fault("access_denied", error, { cause });
    }
  }

  /** What a page asks the keys of a person for who has proved the password; undefined for who has none. */
  async request(purpose: Purpose, password: Condition): Promise<KeyRequest | undefined> {
    const { id } = await this.#party();
    const held = await this.#parts.store.securityKeys.find(purpose.user);
    if (!held || held.keys.length === 0) return undefined;
    return {
      challenge: await this.#challenge(purpose, password),
      rpId: id,
      timeout: patience,
      allowCredentials: held.keys.map(({ id, transports }) => ({ id, type: "public-key", transports })),
      userVerification: "discouraged",
    };
  }

  /** Whether a key of the person signed for this purpose, just now and for the first time. */
  async check(answer: KeyAnswer, purpose: Purpose, from: string): Promise<Checked> {
    const held = await this.#parts.store.securityKeys.find(purpose.user);
    try {
      const { password } = await this.#spend(answer.response.clientDataJSON, purpose);
      const key = held?.keys.find(({ id }) => id === answer.id);
      if (!key) return { why: "the security key is none of this user's" };
      const { id, origins } = await this.#party();
      const { verifyAuthenticationResponse } = await library();
      const { verified, authenticationInfo } = await verifyAuthenticationResponse({
        response: answer,
        expectedChallenge: challengeIn(answer.response.clientDataJSON),
        expectedOrigin: [...origins],
        expectedRPID: id,
        // The counter is compared below, in one step with storing it.
        credential: { id: key.id, publicKey: Buffer.from(key.publicKey, "base64url"), counter: 0 },
        requireUserVerification: false,
      });
      if (!verified) return { why: "the signature of the security key is wrong" };
      const why = await this.#count(purpose.user, key.id, authenticationInfo.newCounter, from);
      return why === undefined ? { why, password: await this.#stillKnown(purpose.user, password) } : { why };
    } catch (err) {
      if (err instanceof Fault && err.kind !== "access_denied") throw err;
      return { why: reason(err) };
    }
  }

  /** The password may have been changed or reset since the challenge was given for it. */
  async #stillKnown(user: string, revision: string | undefined): Promise<Condition> {
    const { passwords } = this.#parts.store;
    const held = await passwords.findVersioned(user);
    if (!held || held.revision !== revision) throw new Error("the password was changed meanwhile");
    return { key: passwords.key(user), revision: held.revision };
  }

  /** Keeps what the key counts now. A key that counts must have counted on, or somebody has a copy of it. */
  async #count(user: string, id: string, given: number, from: string): Promise<string | undefined> {
    let stored: number | undefined;
    await this.#parts.store.securityKeys.update(user, (now) => {
      stored = now?.keys.find((key) => key.id === id)?.counter;
      if (!now || stored === undefined || given <= stored) return undefined;
      return { ...now, keys: now.keys.map((key) => (key.id === id ? { ...key, counter: given } : key)) };
    });
    if (stored === undefined) return "the security key was taken from the user";
    if (given > stored || (given === 0 && stored === 0)) return undefined;
    await record(this.#parts, {
      code: "T4111W",
      user,
      key: id,
      stored,
      given,
      ...(from && { "addr.remote": from }),
    });
    return `the security key counted ${given} after ${stored}`;
  }

  async #challenge(purpose: Purpose, password?: Condition): Promise<string> {
    const { store, random, clock } = this.#parts;
    const challenge = base64url(random.bytes(32));
    await store.challenges.create({
      hash: sha256(challenge),
      ...purpose,
      ...(password && { password: password.revision }),
      expires: clock.now() + patience,
    });
    return challenge;
  }

  /** Uses a challenge up, whatever it was for. Throws when it is not one that was given for this. */
  async #spend(clientDataJSON: string, purpose: Purpose): Promise<ChallengeRecord> {
    const { store, clock } = this.#parts;
    const hash = sha256(challengeIn(clientDataJSON));
    const found = await store.challenges.findVersioned(hash);
    if (!found || found.value.expires <= clock.now()) throw new Error(spent);
    const key = store.challenges.key(hash);
    try {
      await store.backend.commit([{ type: "delete", key }], [{ key, revision: found.revision }]);
    } catch (err) {
      if (Fault.is(err, "compare_failed")) throw new Error(spent);
      throw err;
    }
    const { value } = found;
    const same =
      value.user === purpose.user && value.purpose === purpose.purpose && value.about === purpose.about;
    if (!same) throw new Error("the challenge was given for something else");
    return value;
  }

  /** Throws `bad_parameter` where the cluster's file names no `app_id`. */
  async #party(): Promise<RelyingParty> {
    const { store } = this.#parts;
    const [{ u2f }, proxies] = await Promise.all([store.preference.get("preference"), store.proxies.list()]);
    if (!u2f) throw new Fault("bad_parameter", "this cluster has no u2f.app_id, which security keys need");
    return relyingParty(u2f, proxies);
  }
}

const spent = "the challenge was used, is too old, or was never given";

/** The challenge that the browser says was signed. Throws for what is no client data, or of a page in a frame of another site. */
function challengeIn(clientDataJSON: string): string {
  const { challenge, crossOrigin } = JSON.parse(
    Buffer.from(clientDataJSON, "base64url").toString(),
  ) as Record<string, unknown>;
  if (typeof challenge !== "string") throw new Error("the client data names no challenge");
  if (crossOrigin === true) throw new Error("the page was in a frame of another site");
  return challenge;
}

/**
 * Throws for an attestation with certificates. None was asked for, and to check one would have us fetch whatever address the
 * certificates name.
 */
async function refuseAttestation({ response }: KeyCreated): Promise<void> {
  const { decodeAttestationObject } = await decoders();
  const attestation = decodeAttestationObject(
    new Uint8Array(Buffer.from(response.attestationObject, "base64url")),
  );
  const format = attestation.get("fmt");
  const isOwn = format === "packed" && attestation.get("attStmt").get("x5c") === undefined;
  if (format !== "none" && !isOwn)
    throw new Error(`an attestation was sent that was not asked for: ${format}`);
}

/** Words of others may be in it. */
const reason = (err: unknown): string => (err instanceof Error ? err.message : String(err)).slice(0, 300);

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
