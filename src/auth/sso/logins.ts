import { randomBytes } from "node:crypto";
import type { IssuedCerts, SsoFinished, SsoFlow, WebSession } from "#contract/auth";
import { type Millis, minute } from "#core/clock";
import { sameSecret, sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { access, type GithubConnector, lockOf, type OidcConnector, sourcesFor, type User } from "#model";
import type { SsoRequestRecord } from "#store";
import { findRoles, hostOf, type Person } from "../access/person.ts";
import { record } from "../audit.ts";
import { issueUserCerts, readSshKey } from "../certificates/issue-user.ts";
import { sessionLife, type WebSessions } from "../logins/web-session.ts";
import { newToken, type Parts, rfc3339 } from "../parts.ts";
import { githubAuthorizeUrl, githubCom, githubPerson } from "./github.ts";
import { outgoing } from "./http.ts";
import { Oidc } from "./oidc.ts";
import { accountOf, type External } from "./person.ts";

/** How long somebody may take at the provider (AUTH-61). */
const requestLife: Millis = 10 * minute;

type SsoConnector = GithubConnector | OidcConnector;
type Kind = SsoConnector["kind"];

/** What came back to the callback. */
interface Answer {
  readonly kind: Kind;
  /** The callback's query, as it came. */
  readonly query: string;
  /** The CSRF token of the browser that came back; empty when it has none. */
  readonly csrf_token: string;
  readonly client_addr: string;
}

/** Logins by identity providers (AUTH-60..74). */
export class SsoLogins {
  readonly #parts: Parts;
  readonly #sessions: WebSessions;
  readonly #ask: ReturnType<typeof outgoing>;
  readonly #oidc: Oidc;

  constructor(parts: Parts, sessions: WebSessions) {
    this.#parts = parts;
    this.#sessions = sessions;
    this.#ask = outgoing(parts, parts.config.sso);
    this.#oidc = new Oidc(parts.clock, this.#ask);
  }

  /** Begins a login, and answers where the browser is to go. Without a `connector` it is the cluster's default one of its kind. */
  async start(kind: Kind, connector: string | undefined, flow: SsoFlow): Promise<{ redirect_url: string }> {
    const found = await this.#connector(kind, connector);
    // Nobody is to log in for keys that cannot be certified.
    if (flow.type === "console") readSshKey(flow.pub_key);
    const state = newToken(this.#parts);
    const secret = (): string => randomBytes(32).toString("base64url");
    const request: SsoRequestRecord = {
      state: sha256(state),
      kind,
      connector: found.metadata.name,
      verifier: secret(),
      nonce: secret(),
      flow,
      expires: this.#parts.clock.now() + requestLife,
    };
    const { verifier, nonce } = request;
    const redirect_url = await this.#told(found, async () =>
      found.kind === "github"
        ? githubAuthorizeUrl(found, this.#github, { state, verifier })
        : this.#oidc.authorizeUrl(found, { state, verifier, nonce }),
    );
    await this.#parts.store.ssoRequests.create(request);
    return { redirect_url };
  }

  /**
   * Ends a login with what the provider sent back. Each login has one end, whatever it is; where it began is told, so that a refusal gets
   * there too. Throws `not_found` for an answer to no login of ours.
   */
  async finish(answer: Answer): Promise<SsoFinished> {
    const query = new URLSearchParams(answer.query);
    let request: SsoRequestRecord | undefined;
    let external: External | undefined;
    try {
      request = await this.#take(query.get("state") ?? "", answer.kind);
      const { flow } = request;
      // Who began the login in another browser would otherwise log its owner in as themselves.
      if (flow.type === "web" && !sameSecret(flow.csrf_token, answer.csrf_token))
        throw new Fault("access_denied", "this login was begun in another browser; begin it anew here");
      const connector = await this.#connector(request.kind, request.connector);
      const { state: _, ...secrets } = request;
      const state = query.get("state") ?? "";
      const refusal = query.get("error");
      if (refusal !== null) throw refused(refusal, query.get("error_description") ?? "");
      external = await this.#told(connector, async () => {
        if (connector.kind === "oidc") return this.#oidc.person(connector, { ...secrets, state }, query);
        const code = query.get("code") ?? "";
        return githubPerson(connector, this.#github, { code, verifier: secrets.verifier }, this.#ask);
      });
      return await this.#enter(external, connector, request, answer.client_addr);
    } catch (err) {
      if (!(err instanceof Fault))
        this.#parts.log.error("a login by an identity provider failed", { error: String(err) });
      await this.#recordFailure(answer, request, external, err);
      if (!request) throw err;
      const { type, redirect_url } = request.flow;
      return { type: "refused", flow: type, redirect_url, error: sentenceOf(err) };
    }
  }

  get #github() {
    return this.#parts.config.sso?.github ?? githubCom;
  }

  /** The account as it is from now on, and what the login is for. */
  async #enter(
    external: External,
    connector: SsoConnector,
    { flow }: SsoRequestRecord,
    client_addr: string,
  ): Promise<SsoFinished> {
    const { store, clock } = this.#parts;
    const { name, traits } = external;
    const decided = access({ user: name, roles: await findRoles(this.#parts, name, external.roles), traits });
    // Refuses whom the roles let in from nowhere near, before there is an account.
    const sources = sourcesFor(decided.options(), hostOf(client_addr));
    const longest = decided.options().maxSessionTtl;
    const ttl = Math.min(flow.type === "web" ? sessionLife : flow.ttl, longest);
    const now = clock.now();
    const times = { now: rfc3339(now), expires: rfc3339(now + ttl) };
    const user = (await store.users.update(name, (before) => {
      if (before && lockOf(before, now) === "administrator")
        throw new Fault("access_denied", `the account ${name} is locked; ask your administrator`);
      return accountOf(external, connector, before, times);
    })) as User;
    const { kind, metadata } = connector;
    await record(this.#parts, {
      code: "T1002I",
      user: name,
      roles: user.spec.roles,
      connector: metadata.name,
      expires: times.expires,
    });
    const person: Person = { user, access: decided, sources };
    const done =
      flow.type === "web"
        ? { type: flow.type, session: await this.#sessions.open(person), redirect_url: flow.redirect_url }
        : {
            type: flow.type,
            certs: await this.#certs(person, flow, now + ttl),
            redirect_url: flow.redirect_url,
          };
    await record(this.#parts, {
      code: "T1001I",
      user: name,
      method: kind,
      connector: metadata.name,
      success: true,
      ...(client_addr && { "addr.remote": client_addr }),
      ...(done.type === "web" && { sid: sha256((done.session as WebSession).id) }),
    });
    return done;
  }

  #certs(
    { user, access, sources }: Person,
    flow: Extract<SsoFlow, { type: "console" }>,
    notAfter: Millis,
  ): Promise<IssuedCerts> {
    const { pub_key, tls_pub_key, ttl, compatibility } = flow;
    const { traits } = user.spec;
    return issueUserCerts(this.#parts, {
      access,
      traits,
      pub_key,
      tls_pub_key,
      ttl,
      compatibility,
      sources,
      notAfter,
    });
  }

  /** The request that the state belongs to, which is over with that. */
  async #take(state: string, kind: Kind): Promise<SsoRequestRecord> {
    const { store, clock } = this.#parts;
    const { ssoRequests } = store;
    const key = sha256(state);
    const found = await ssoRequests.findVersioned(key);
    if (!found || found.value.expires <= clock.now()) throw unknownState();
    try {
      await store.backend.commit(
        [ssoRequests.deleting(key)],
        [{ key: ssoRequests.key(key), revision: found.revision }],
      );
    } catch (err) {
      // Another answer with the same state was faster, here or on another auth server.
      if (Fault.is(err, "compare_failed")) throw unknownState();
      throw err;
    }
    const { value } = found;
    if (value.kind !== kind) throw unknownState();
    return value;
  }

  async #connector(kind: Kind, name: string | undefined): Promise<SsoConnector> {
    const { store } = this.#parts;
    const wanted = name ?? (await this.#defaultName(kind));
    const found = wanted === undefined ? undefined : await store.connectors.find(`${kind}/${wanted}`);
    if (found && found.kind !== "saml") return found;
    throw new Fault(
      "not_found",
      wanted === undefined
        ? `this cluster has no ${kind} connector; an administrator makes one with tctl create`
        : `this cluster has no ${kind} connector ${JSON.stringify(wanted)}; an administrator makes it with tctl create`,
    );
  }

  /** What `connector_name` says, else the first by name. */
  async #defaultName(kind: Kind): Promise<string | undefined> {
    const { type, connector_name } = await this.#parts.store.preference.get("preference");
    if (type === kind && connector_name !== undefined) return connector_name;
    const all = await this.#parts.store.connectors.list();
    return all.find((connector) => connector.kind === kind)?.metadata.name;
  }

  /** What a provider does wrong is for the administrator: the log has the whole of it, the person a sentence. */
  async #told<T>({ kind, metadata }: SsoConnector, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (!Fault.is(cause, "unreachable")) throw cause;
      this.#parts.log.warn("an identity provider does not serve", {
        connector: `${kind}/${metadata.name}`,
        error: reasonOf(cause),
      });
      throw new Fault(
        "unreachable",
        `the identity provider of the connector ${JSON.stringify(metadata.name)} does not answer as it should; ask your administrator`,
        { cause },
      );
    }
  }

  async #recordFailure(
    { kind, client_addr }: Answer,
    request: SsoRequestRecord | undefined,
    external: External | undefined,
    err: unknown,
  ): Promise<void> {
    const why = err instanceof Error && err.cause instanceof Error ? reasonOf(err.cause) : undefined;
    await record(this.#parts, {
      code: "T1001W",
      method: kind,
      success: false,
      error: sentenceOf(err),
      ...(external && { user: external.name }),
      ...(request && { connector: request.connector }),
      ...(why !== undefined && { message: why }),
      ...(client_addr && { "addr.remote": client_addr }),
    });
  }
}

const unknownState = (): Fault =>
  new Fault("not_found", "this login is over or was never begun; begin it anew");

/** RFC 6749 §4.1.2.1: what the provider says in place of a code, cut to what somebody may read. */
function refused(error: string, description: string): Fault {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  const plain = (text: string): string => text.replace(/[\u0000-\u001f\u007f]/g, " ").slice(0, 200);
  return new Fault("access_denied", `the identity provider refused the login: ${plain(error)}`, {
    cause: new Error(plain(description) || plain(error)),
  });
}

const sentenceOf = (err: unknown): string =>
  err instanceof Fault ? err.message : "something went wrong in the server; its log says what";

/** With the reasons behind it: messages only, since what hangs on them holds tokens. */
function reasonOf(err: Error): string {
  const reasons: string[] = [];
  for (let at: unknown = err; at instanceof Error && reasons.length < 4; at = at.cause)
    reasons.push(at.message);
  return [...new Set(reasons)].join(": ").slice(0, 500);
}
