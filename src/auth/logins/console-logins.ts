import type { IssuedCerts } from "#contract/auth";
import { loopbackKey } from "#contract/loopback";
import type { KeyAnswer, KeyRequest } from "#contract/webauthn";
import { type Millis, minute } from "#core/clock";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { accountEnd } from "../access/person.ts";
import { issueUserCerts, readSshKey } from "../certificates/issue-user.ts";
import { newToken, type Parts } from "../parts.ts";
import { Crowd } from "./crowd.ts";
import type { Logins } from "./login.ts";

/** `tsh` waits for three minutes. */
const life: Millis = 5 * minute;

interface ConsoleLoginRequest {
  readonly user: string;
  readonly redirect_url: string;
  readonly pub_key: string;
  readonly tls_pub_key?: string | undefined;
  readonly ttl: Millis;
  readonly compatibility: "" | "standard" | "oldssh";
  /** Where `tsh` runs, and so where the certificates are used. */
  readonly client_addr: string;
}

/** Logins of `tsh` that happen on a page of the proxy, since only a browser asks a security key (AUTH-38). */
export class ConsoleLogins {
  readonly #parts: Parts;
  readonly #logins: Logins;
  readonly #strangers: Crowd;

  constructor(parts: Parts, logins: Logins) {
    const { backend, consoleLogins } = parts.store;
    this.#parts = parts;
    this.#logins = logins;
    this.#strangers = new Crowd({ backend, prefix: consoleLogins.prefix }, () => false);
  }

  /** Throws `bad_parameter` for keys that are none, and for an answer that would go to another machine (S67). */
  async create(request: ConsoleLoginRequest): Promise<{ id: string }> {
    const { store, clock } = this.#parts;
    const { second_factor } = await this.#logins.preference();
    if (second_factor !== "webauthn")
      throw new Fault("bad_parameter", "this cluster does not ask for security keys");
    loopbackKey(request.redirect_url);
    readSshKey(request.pub_key);
    const id = newToken(this.#parts);
    await store.consoleLogins.create({
      hash: sha256(id),
      user: request.user,
      redirectUrl: request.redirect_url,
      pubKey: request.pub_key,
      ...(request.tls_pub_key !== undefined && { tlsPubKey: request.tls_pub_key }),
      ttl: request.ttl,
      compatibility: request.compatibility,
      clientAddr: request.client_addr,
      expires: clock.now() + life,
    });
    await this.#strangers.added();
    return { id };
  }

  /** Whose login it is to be. Throws `not_found`. */
  async get(id: string): Promise<{ user: string }> {
    const { user } = (await this.#find(id)).value;
    return { user };
  }

  /** Checks the password, and asks for a key. */
  async challenge(id: string, password: string, client_addr: string): Promise<KeyRequest> {
    const { user, hash } = (await this.#find(id)).value;
    const credentials = { user, password, otp_token: "", client_addr };
    return this.#logins.challenge(credentials, { purpose: "console", about: hash });
  }

  /** The certificates, once. */
  async complete(
    id: string,
    webauthn: KeyAnswer,
    client_addr: string,
  ): Promise<{ certs: IssuedCerts; redirect_url: string }> {
    const { value: asked, revision } = await this.#find(id);
    const { user, hash } = asked;
    const person = await this.#logins.verify(
      { user, password: "", otp_token: "", client_addr, used_at: asked.clientAddr, webauthn },
      { purpose: "console", about: hash },
    );
    const { store } = this.#parts;
    const key = store.consoleLogins.key(hash);
    await store.backend.commit([{ type: "delete", key }], [{ key, revision }]).catch((err: unknown) => {
      throw Fault.is(err, "compare_failed") ? gone() : err;
    });
    const certs = await issueUserCerts(this.#parts, {
      access: person.access,
      traits: person.user.spec.traits,
      pub_key: asked.pubKey,
      tls_pub_key: asked.tlsPubKey,
      ttl: asked.ttl,
      compatibility: asked.compatibility,
      sources: person.sources,
      notAfter: accountEnd(person.user),
    });
    await this.#logins.recordSuccess(person, client_addr);
    return { certs, redirect_url: asked.redirectUrl };
  }

  async #find(id: string) {
    const { store, clock } = this.#parts;
    const found = await store.consoleLogins.findVersioned(sha256(id));
    if (!found || found.value.expires <= clock.now()) throw gone();
    return found;
  }
}

const gone = (): Fault =>
  new Fault("not_found", "this login is over or has taken too long; begin it anew in your terminal");
