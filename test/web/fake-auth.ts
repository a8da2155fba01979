import type { WebSession } from "#contract/auth";
import { type Clock, hour, minute } from "#core/clock";
import { Fault } from "#core/errors";
import { type AuthPreference, type Connector, User } from "#model";
import type { WebAuth } from "#webapi";
import { totp } from "./totp.ts";

type SecondFactor = "off" | "otp";

interface Invited {
  readonly user: string;
  seed: string;
  readonly reset?: true;
}

/** An auth service in memory, as far as the web API needs one: real codes, real sessions, no certificates. */
export class FakeAuth implements WebAuth {
  readonly #clock: Clock;
  readonly #secondFactor: SecondFactor;
  readonly #accounts = new Map<string, { password: string; seed: string }>();
  readonly #invites = new Map<string, Invited>();
  readonly #sessions = new Map<string, WebSession>();
  /** How people log in, where a test wants it otherwise. */
  preference: Partial<AuthPreference> = {};
  connectors: Connector[] = [];
  /** Every login that began at an identity provider; its state is its index. */
  readonly begun: Parameters<WebAuth["sso.start"]>[0][] = [];
  /** What the next login by an identity provider comes to. */
  refusal: string | undefined;
  #made = 0;
  /** Every call that carried a client address, for tests to look at. */
  readonly logins: { user: string; client_addr: string | undefined; ttl?: number }[] = [];
  /** Set to make every call fail so. */
  down: Error | undefined;

  constructor(clock: Clock, secondFactor: SecondFactor) {
    this.#clock = clock;
    this.#secondFactor = secondFactor;
  }

  add(user: string, password: string): { seed: string } {
    const account = { password, seed: this.#seed() };
    this.#accounts.set(user, account);
    return account;
  }
  invite(user: string): string {
    const token = this.#hex();
    this.#invites.set(token, { user, seed: "" });
    return token;
  }
  /** As `tctl users reset` does. */
  reset(user: string): string {
    this.#accounts.delete(user);
    const token = this.invite(user);
    this.#invites.set(token, { user, seed: "", reset: true });
    return token;
  }
  /** The invitation runs out. */
  expire = (token: string): boolean => this.#invites.delete(token);
  has = (user: string): boolean => this.#accounts.has(user);
  get live(): number {
    return this.#sessions.size;
  }

  "cluster.config" = async (): ReturnType<WebAuth["cluster.config"]> => {
    this.#check();
    return {
      cluster_id: "00000000-0000-4000-8000-000000000000",
      cluster_name: "main",
      session_recording: "node",
      proxy_checks_host_keys: true,
      client_idle_timeout: 0,
      disconnect_expired_cert: false,
      keep_alive_interval: 300_000,
      keep_alive_count_max: 3,
      exec_recording_limit: 10_485_760,
    };
  };

  "cluster.preference" = async (): ReturnType<WebAuth["cluster.preference"]> => {
    this.#check();
    return { type: "local", second_factor: this.#secondFactor, local_auth: true, ...this.preference };
  };

  "connectors.list" = async (): ReturnType<WebAuth["connectors.list"]> => this.connectors;

  "sso.start": WebAuth["sso.start"] = async (asked) => {
    this.#check();
    const { kind, connector = this.connectors.find((one) => one.kind === kind)?.metadata.name } = asked;
    if (!this.connectors.some((one) => one.kind === kind && one.metadata.name === connector))
      throw new Fault("not_found", `this cluster has no ${kind} connector`);
    this.begun.push(asked);
    return { redirect_url: `https://provider.example.com/authorize?state=${this.begun.length - 1}` };
  };

  /** Clusters that came, as they were told of; none is taken up. */
  readonly linking: Parameters<WebAuth["remote_clusters.accept"]>[0][] = [];
  "remote_clusters.accept": WebAuth["remote_clusters.accept"] = async (asked) => {
    this.#check();
    this.linking.push(asked);
    return [];
  };
  "sso.finish": WebAuth["sso.finish"] = async ({ kind, query, csrf_token, client_addr }) => {
    this.#check();
    const asked = this.begun[Number(new URLSearchParams(query).get("state") ?? "x")];
    if (asked?.kind !== kind) throw new Fault("not_found", "this login is over or was never begun");
    const { flow } = asked;
    const { redirect_url } = flow;
    this.logins.push({ user: "octocat", client_addr });
    if (this.refusal !== undefined)
      return { type: "refused", flow: flow.type, redirect_url, error: this.refusal };
    if (flow.type === "web") {
      if (flow.csrf_token !== csrf_token) throw new Fault("access_denied", "begun in another browser");
      return { type: "web", session: this.#open("octocat"), redirect_url };
    }
    const certs = { username: "octocat", cert: "ssh-ed25519-cert-v01@openssh.com AAAA", host_signers: [] };
    return { type: "console", certs, redirect_url };
  };

  "logins.web": WebAuth["logins.web"] = async ({ user, password, otp_token, client_addr }) => {
    this.#check();
    this.logins.push({ user, client_addr });
    this.#prove(user, password, otp_token);
    return this.#open(user);
  };

  "logins.certs": WebAuth["logins.certs"] = async ({ user, password, otp_token, client_addr, ...asked }) => {
    this.#check();
    this.logins.push({ user, client_addr, ttl: asked.ttl });
    this.#prove(user, password, otp_token);
    return {
      username: user,
      cert: "ssh-ed25519-cert-v01@openssh.com AAAA",
      ...(asked.tls_pub_key && { tls_cert: "-----BEGIN CERTIFICATE-----" }),
      host_signers: [{ domain_name: "main", checking_keys: ["ssh-ed25519 BBBB"], tls_certs: ["PEM"] }],
    };
  };

  "signups.get": WebAuth["signups.get"] = async ({ token }) => {
    this.#check();
    const invite = this.#invited(token);
    invite.seed = this.#seed();
    const otp_uri = `otpauth://totp/Teleport:${encodeURIComponent(invite.user)}@main?secret=${invite.seed}&issuer=Teleport`;
    return {
      user: invite.user,
      second_factor: this.#secondFactor,
      ...(invite.reset && { reset: true }),
      ...(this.#secondFactor === "otp" && { otp_uri }),
    };
  };

  "signups.complete": WebAuth["signups.complete"] = async ({ token, password, otp_token, client_addr }) => {
    this.#check();
    const { user, seed } = this.#invited(token);
    this.logins.push({ user, client_addr });
    if (this.#secondFactor === "otp" && otp_token !== totp(seed, this.#clock.now())) {
      throw new Fault("access_denied", "this code is not the one the app shows now");
    }
    this.#accounts.set(user, { password, seed });
    this.#invites.delete(token);
    return this.#open(user);
  };

  "users.change_password": WebAuth["users.change_password"] = async (change) => {
    this.#check();
    this.#prove(change.user, change.password, change.otp_token);
    const account = this.#accounts.get(change.user);
    if (account) account.password = change.new_password;
    for (const { id, user } of this.#sessions.values()) if (user === change.user) this.#sessions.delete(id);
    return this.#open(change.user);
  };

  // Pages with security keys are tested before a real auth service.
  "signups.challenge" = noKeys;
  "logins.challenge" = noKeys;
  "console_logins.create" = noKeys;
  "console_logins.get" = noKeys;
  "console_logins.challenge" = noKeys;
  "console_logins.complete" = noKeys;

  "web_sessions.get": WebAuth["web_sessions.get"] = async (given) => {
    this.#check();
    const { user, expires, bearer_expires } = this.#session(given);
    return {
      user: User.parse({
        kind: "user",
        version: "v2",
        metadata: { name: user },
        spec: { roles: ["admin", "dba"] },
      }),
      expires,
      bearer_expires,
      logins: ["root", "postgres"],
      cluster_name: "main",
    };
  };

  "web_sessions.renew": WebAuth["web_sessions.renew"] = async (given) => {
    this.#check();
    const { id, user } = this.#session(given);
    this.#sessions.delete(id);
    return this.#open(user);
  };

  "web_sessions.delete": WebAuth["web_sessions.delete"] = async (given) => {
    this.#check();
    this.#sessions.delete(this.#session(given).id);
  };

  #check(): void {
    if (this.down) throw this.down;
  }
  #invited(token: string): Invited {
    const invite = this.#invites.get(token);
    if (!invite) throw new Fault("not_found", "expired or incorrect signup token");
    return invite;
  }
  #prove(user: string, password: string, code = ""): void {
    const account = this.#accounts.get(user);
    const codeFits =
      this.#secondFactor === "off" || (account && code === totp(account.seed, this.#clock.now()));
    if (account?.password !== password || !codeFits) {
      throw new Fault("access_denied", "invalid username, password or second factor");
    }
  }
  #session({ user, id, bearer }: { user: string; id: string; bearer: string }): WebSession {
    const session = this.#sessions.get(id);
    const good =
      session?.user === user && session.bearer === bearer && session.bearer_expires > this.#clock.now();
    if (!session || !good) throw new Fault("not_found", "there is no such session");
    return session;
  }
  #open(user: string): WebSession {
    const now = this.#clock.now();
    const session = {
      id: this.#hex(),
      bearer: this.#hex(),
      bearer_expires: now + 10 * minute,
      expires: now + 12 * hour,
      user,
    };
    this.#sessions.set(session.id, session);
    return session;
  }
  #hex(): string {
    return (++this.#made).toString(16).padStart(32, "0");
  }
  #seed(): string {
    return `JBSWY3DPEHPK3PX${"ABCDEFGH"[++this.#made % 8]}`;
  }
}

const noKeys = (): Promise<never> =>
  Promise.reject(new Fault("bad_parameter", "this cluster does not ask for security keys"));
