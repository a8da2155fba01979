import { MemoryBackend } from "#backend";
import type { Alive, AuthContract } from "#contract/auth";
import type { Client } from "#contract/rpc";
import { hour, TestClock } from "#core/clock";
import { memoryLog } from "#core/log";
import { systemRandom } from "#core/random";
import { type AuditEvent, stamp } from "#events";
import { AuthPreference, ClusterConfig, type Identity, Role, type SystemRole, User } from "#model";
import { dial } from "#net";
import { makeTlsKey } from "#pki";
import { formatPublicKeyLine, generateKey } from "#ssh/keys";
import { localClient } from "../api/local.ts";
import type { AuditLog, Recordings } from "../audit.ts";
import { codeAt, stepAt } from "../factors/otp.ts";
import { type Auth, openAuth } from "../open.ts";
import type { AuthConfig } from "../parts.ts";

export const hostId = "6a1b4c5e-8a45-4a2e-9f0d-2f7d2c1d5b01";
export const otherId = "9c1d2e3f-1111-4222-8333-0123456789ab";

/** An auth service in memory, with everything a test looks at. */
export async function cluster(
  config: Partial<AuthConfig> = {},
  over?: { backend: MemoryBackend; clock: TestClock },
) {
  const clock = over?.clock ?? new TestClock();
  const backend = over?.backend ?? new MemoryBackend(clock);
  const log = memoryLog();
  const events: AuditEvent[] = [];
  const uploads = new Map<string, Buffer>();
  const recordings: Recordings = {
    offset: async (sid, file) => uploads.get(`${sid}/${file}`)?.length ?? 0,
    upload: async ({ sid, file }, body) => {
      const parts = [uploads.get(`${sid}/${file}`) ?? Buffer.alloc(0)];
      for await (const chunk of body) parts.push(Buffer.from(chunk));
      uploads.set(`${sid}/${file}`, Buffer.concat(parts));
      return { size: Buffer.concat(parts).length };
    },
    finish: async (sid, _digests, check) => {
      const lines = uploads.get(`${sid}/log`)?.toString().split("\n") ?? [];
      for (const line of lines) if (line !== "") check(JSON.parse(line));
    },
    read: async (sid, file, offset, length) =>
      uploads.get(`${sid}/${file}`)?.subarray(offset, offset + length) ?? new Uint8Array(),
  };
  const audit: AuditLog = {
    emit: async (draft) => void events.push(stamp(draft, { clock, random: systemRandom })),
    emitAgain: async (again) => {
      events.push(...again.filter(({ uid }) => events.every((event) => event.uid !== uid)));
    },
    search: async () => events,
    recordings,
  };
  const auth = await openAuth({
    backend,
    audit,
    clock,
    random: systemRandom,
    log,
    dial,
    config: {
      clusterName: "main",
      hostName: "auth.example.com",
      version: "5.0.0",
      keyType: "default",
      staticTokens: [{ roles: ["node", "proxy"], token: "static/token" }],
      preference: AuthPreference.parse({ second_factor: "off" }),
      cluster: ClusterConfig.omit({ cluster_id: true, cluster_name: true }).parse({}),
      // The least that argon2 allows.
      passwordCost: { memory: 8, passes: 1 },
      ...config,
    },
  });
  const as = (identity: Identity): Client<AuthContract> => localClient(auth, identity);
  const member = (role: SystemRole, id = hostId) => as(system(role, id, auth.clusterName));
  return {
    auth,
    backend,
    /** What a member says on its stream, and whether auth has all it says it has. */
    alive: async (
      id: string,
      kinds: Alive["kinds"] = ["node"],
      records?: Alive["records"],
    ): Promise<boolean> => {
      const stop = new AbortController();
      const say = async function* (): AsyncGenerator<Alive> {
        yield { type: "alive", kinds, ...(records && { records }) };
      };
      for await (const change of member("Node", id)["mirror.watch"]({}, stop.signal, say)) {
        if (change.type === "beat" || change.type === "announce") return change.type === "beat";
      }
      throw new Error("the watch ended");
    },
    clock,
    log,
    events,
    as,
    admin: member("Admin"),
    proxy: member("Proxy"),
    node: member("Node"),
    stranger: as({ kind: "anonymous" }),
    /** As the certificate of a login now would say. */
    user: (name: string, roles = ["admin"], logins: string[] = []) =>
      as({
        kind: "user",
        user: name,
        roles,
        logins,
        traits: { logins },
        cluster: auth.clusterName,
        expires: clock.now() + hour,
      }),
    /** Without a password: one that may hold certificates. */
    addUser: (name: string, spec: object = {}) => member("Admin")["users.put"]({ user: account(name, spec) }),
    signUp: (name: string, password = "correct horse", options: SignUp = {}) =>
      signUp(auth, clock, name, password, options),
    [Symbol.asyncDispose]: async () => {
      await auth[Symbol.asyncDispose]();
      if (!over) await backend[Symbol.asyncDispose]();
    },
  };
}
export type Cluster = Awaited<ReturnType<typeof cluster>>;

interface SignUp {
  readonly roles?: string[];
  readonly logins?: string[];
}

/** Invites and signs up; returns the seed when a code is asked for. */
async function signUp(
  auth: Auth,
  clock: TestClock,
  name: string,
  password: string,
  { roles = ["admin"], logins = [name] }: SignUp,
) {
  const [admin, proxy] = (["Admin", "Proxy"] as const).map((role) =>
    localClient(auth, system(role, hostId, auth.clusterName)),
  ) as [Client<AuthContract>, Client<AuthContract>];
  const { token } = await admin["signups.create"]({ user: name, roles, traits: { logins }, ttl: hour });
  const seed = seedOf((await proxy["signups.get"]({ token })).otp_uri);
  const otp_token = seed ? codeAt(seed, stepAt(clock.now())) : "";
  const session = await proxy["signups.complete"]({ token, password, otp_token });
  return { session, seed: seed ?? "" };
}

export const seedOf = (uri: string | undefined): string | undefined =>
  uri === undefined ? undefined : (new URL(uri).searchParams.get("secret") ?? undefined);

export const system = (role: SystemRole, id = hostId, cluster = "main"): Identity => ({
  kind: "system",
  role,
  hostId: id,
  cluster,
});

export const account = (name: string, spec: object = {}): User =>
  User.parse({ kind: "user", version: "v2", metadata: { name }, spec: { roles: ["admin"], ...spec } });

export const role = (name: string, spec: object): Role =>
  Role.parse({ kind: "role", version: "v3", metadata: { name }, spec });

/** Fresh public keys as requests carry them. */
export async function publicKeys() {
  const ssh = await generateKey("ed25519");
  const tls = await makeTlsKey("ecdsa-p256");
  return {
    ssh: Buffer.from(formatPublicKeyLine({ key: ssh.publicKey })).toString("base64"),
    tls: Buffer.from(tls.publicKey).toString("base64"),
  };
}

export async function joinRequest<R extends "Node" | "Proxy" | "Auth", M extends object>(role: R, more: M) {
  const { ssh, tls } = await publicKeys();
  return { host_id: otherId, node_name: "db", role, public_ssh_key: ssh, public_tls_key: tls, ...more };
}
