import { once } from "node:events";
import { chmod, lstat, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import type { Clock, Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { type AgentKeys, AgentLock, type KeyringEntry, serveAgent } from "#ssh/agent";
import { type PublicKey, sameKey } from "#ssh/keys";
import { commentOf } from "./agent.ts";
import { expiryOf, type Keystore } from "./keystore.ts";
import { type Profiles, proxyHost } from "./profile.ts";

/**
 * The logins of all profiles as an agent shows them: what `~/.tsh` holds at that moment, so that a login appears and a
 * logout disappears by itself. Nothing else can be put into it.
 */
export class LoginKeys implements AgentKeys {
  readonly #home: { readonly profiles: Profiles; readonly keystore: Keystore };
  readonly #clock: Pick<Clock, "now">;
  /** What was removed by hand; it comes back with the next login, which brings another key. */
  #removed: readonly PublicKey[] = [];

  constructor(home: { readonly profiles: Profiles; readonly keystore: Keystore }, clock: Pick<Clock, "now">) {
    this.#home = home;
    this.#clock = clock;
  }

  /** Certificates first, that of the current profile before the others'. */
  async list(): Promise<readonly KeyringEntry[]> {
    const all = await this.#all();
    this.#removed = this.#removed.filter((key) => all.some(({ signer }) => sameKey(signer.publicKey, key)));
    return all.filter(({ signer }) => !this.#removed.some((key) => sameKey(signer.publicKey, key)));
  }

  /** Only brings back what a login left here and somebody removed. Throws `access_denied` for anything else. */
  async add({ signer, expires }: KeyringEntry): Promise<void> {
    const ours = (await this.#all()).some((entry) => sameKey(entry.signer.publicKey, signer.publicKey));
    if (!ours || expires !== undefined) {
      throw new Fault("access_denied", "this agent holds what logins bring, and takes no other keys");
    }
    this.#removed = this.#removed.filter((key) => !sameKey(key, signer.publicKey));
  }

  /** Until the next login. Throws `not_found`. */
  async remove(key: PublicKey): Promise<void> {
    const held = (await this.list()).some(({ signer }) => sameKey(signer.publicKey, key));
    if (!held) throw new Fault("not_found", "the agent does not hold this key");
    this.#removed = [...this.#removed, key];
  }

  async removeAll(): Promise<void> {
    this.#removed = (await this.#all()).map(({ signer }) => signer.publicKey);
  }

  now(): Millis {
    return this.#clock.now();
  }

  async #all(): Promise<KeyringEntry[]> {
    const { profiles, keystore } = this.#home;
    const certified: KeyringEntry[] = [];
    const plain: KeyringEntry[] = [];
    for (const profile of await profiles.all()) {
      const login = await keystore.load(proxyHost(profile), profile.user);
      if (!login?.certificate || expiryOf(login) <= this.#clock.now()) continue;
      const comment = commentOf(login.user);
      certified.push({ signer: login.key.signer(login.certificate), comment });
      plain.push({ signer: login.key.signer(), comment });
    }
    return [...certified, ...plain];
  }
}

/**
 * Listens on a Unix socket that only its owner may use, and serves agents' clients there until `signal` aborts; calls `ready`
 * once it does. A socket that nobody serves any more is replaced. Throws `already_exists` when an agent answers there.
 */
export async function serveAgentAt(
  path: string,
  { keys, clock }: { readonly keys: AgentKeys; readonly clock: Clock },
  ready: () => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const lock = new AgentLock({ clock });
  const live = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    live.add(socket);
    socket.once("close", () => live.delete(socket));
    // A client that talks nonsense or goes away is its own affair.
    void serveAgent(socket, keys, { peer: "owner", lock }).catch(() => {});
  });
  const listen = async (): Promise<void> => {
    server.listen(path);
    await once(server, "listening");
  };
  try {
    await listen();
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "EADDRINUSE") throw unusable(path, err);
    if (await agentAnswers(path))
      throw new Fault("already_exists", `an agent listens on ${path} already`, { cause: err });
    if (!(await lstat(path)).isSocket()) throw unusable(path, new Error("it is there, and no socket"));
    await rm(path);
    await listen();
  }
  try {
    await chmod(path, 0o600);
    await ready();
    if (!signal.aborted) await once(signal, "abort");
  } finally {
    for (const socket of live) socket.destroy();
    server.close();
    await once(server, "close");
  }
}

/** Whether somebody serves the socket. */
export async function agentAnswers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const unusable = (path: string, cause: unknown): Fault =>
  new Fault("unreachable", `no agent can listen on ${path}: ${(cause as Error).message}`, { cause });
