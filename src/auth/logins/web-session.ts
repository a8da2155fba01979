import type { Condition } from "#backend";
import type { IssuedCerts, WebSession } from "#contract/auth";
import { inAddressList } from "#core/cidr";
import { hour, type Millis, minute } from "#core/clock";
import { sameSecret, sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { lockOf } from "#model";
import type { WebSessionRecord } from "#store";
import { accessOfUser, accountEnd, earlier, hostOf, type Person } from "../access/person.ts";
import { issueUserCerts } from "../certificates/issue-user.ts";
import { newToken, type Parts } from "../parts.ts";

/** How long a web login lasts where no role says less. */
export const sessionLife: Millis = 12 * hour;
const bearerLife: Millis = 10 * minute;
/** How long a renewed session still answers, for requests that were on their way. */
const overlap: Millis = 1 * minute;

/** What the browser holds: the cookie's id and the header's token, for a user. */
export interface WebCredentials {
  readonly user: string;
  readonly id: string;
  readonly bearer: string;
  /** `ip:port` of the browser, as the proxy saw it. */
  readonly client_addr: string;
}

/** Logins of browsers (AUTH-50). Ids and tokens are stored as hashes only. */
export class WebSessions {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Throws `access_denied` when what the person proved to be does not hold any more. */
  open({ user, access, sources, proof }: Person): Promise<WebSession> {
    const end = this.#parts.clock.now() + Math.min(sessionLife, access.options().maxSessionTtl);
    return this.#create(user.metadata.name, Math.min(end, accountEnd(user) ?? end), sources, proof);
  }

  /** The session and its user as they are now. Throws `access_denied` when either is over, gone or locked (S46). */
  async check(credentials: WebCredentials): Promise<Omit<Person, "sources"> & { session: WebSessionRecord }> {
    const session = await this.#find(credentials);
    const now = this.#parts.clock.now();
    if (!session || session.bearerExpires <= now || session.expires <= now) throw over();
    const user = await this.#parts.store.users.find(credentials.user);
    if (!user || lockOf(user, now) === "administrator") throw over();
    const { sources } = session;
    if (sources && inAddressList(sources.join(","), hostOf(credentials.client_addr)) !== true)
      throw new Fault("access_denied", "this web session may not be used from your address; log in again");
    return { session, user, access: await accessOfUser(this.#parts, user) };
  }

  /** A new id and a new token; the end stays that of the login. */
  async renew(credentials: WebCredentials): Promise<WebSession> {
    const { session, user } = await this.check(credentials);
    const sessions = this.#parts.store.webSessions(user.metadata.name);
    const end = this.#parts.clock.now() + overlap;
    await sessions.update(
      session.id,
      (old) => old && { ...old, bearerExpires: Math.min(old.bearerExpires, end) },
    );
    return this.#create(user.metadata.name, session.expires, session.sources);
  }

  /** Logging out works with a token that is over, and twice. */
  async close(credentials: WebCredentials): Promise<void> {
    const session = await this.#find(credentials);
    if (!session) return;
    await this.#parts.store
      .webSessions(session.user)
      .delete(session.id)
      .catch((err: unknown) => {
        if (!Fault.is(err, "not_found")) throw err;
      });
  }

  /** Certificates for keys that the proxy made for this session: they do not outlive it. */
  async certs(
    credentials: WebCredentials,
    keys: { readonly pub_key: string; readonly tls_pub_key?: string | undefined },
  ): Promise<IssuedCerts> {
    const { session, user, access } = await this.check(credentials);
    return issueUserCerts(this.#parts, {
      access,
      traits: user.spec.traits,
      ...keys,
      ttl: session.expires - this.#parts.clock.now(),
      sources: session.sources,
      notAfter: earlier(session.expires, accountEnd(user)),
    });
  }

  async #create(
    user: string,
    expires: Millis,
    sources: readonly string[] | undefined,
    proof?: Condition,
  ): Promise<WebSession> {
    const [id, bearer] = [newToken(this.#parts), newToken(this.#parts)];
    const bearer_expires = Math.min(this.#parts.clock.now() + bearerLife, expires);
    const { backend, webSessions } = this.#parts.store;
    const record = {
      ...{ user, id: sha256(id), bearer: sha256(bearer) },
      ...{ bearerExpires: bearer_expires, expires },
      ...(sources && { sources: [...sources] }),
    };
    await backend.commit([webSessions(user).putting(record)], proof ? [proof] : []).catch((err: unknown) => {
      throw Fault.is(err, "compare_failed") ? over() : err;
    });
    return { id, bearer, bearer_expires, expires, user };
  }

  async #find({ user, id, bearer }: WebCredentials): Promise<WebSessionRecord | undefined> {
    const session = await this.#parts.store.webSessions(user).find(sha256(id));
    return session && session.user === user && sameSecret(session.bearer, sha256(bearer))
      ? session
      : undefined;
  }
}

const over = (): Fault => new Fault("access_denied", "the web session is over; log in again");
