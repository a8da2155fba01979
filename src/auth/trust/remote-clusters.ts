import { Fault } from "#core/errors";
import { type Caller, type CertAuthority, type RemoteCluster, statusOf } from "#model";
import { record } from "../audit.ts";
import { Sources } from "../logins/sources.ts";
import { findToken, spend } from "../members/tokens.ts";
import { type Parts, rfc3339 } from "../parts.ts";
import { foreignAuthorities, ownAuthorities, refuseOtherKeys, sharesHostKey } from "./authorities.ts";

interface TrustRequest {
  readonly token: string;
  readonly authorities: readonly CertAuthority[];
  /** As the proxy sees who asks. */
  readonly clientAddress: string;
}

/** Clusters that trust this one: they came with an invitation, and this one's people may be let into them. */
export class RemoteClusters {
  readonly #parts: Parts;
  readonly #sources: Sources;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#sources = new Sources(parts);
  }

  async list(caller: Caller): Promise<RemoteCluster[]> {
    const { store, clock } = this.#parts;
    const { keep_alive_interval: every, keep_alive_count_max: count } = await store.config.get("config");
    const proxies = new Set((await store.proxies.list()).map(({ metadata }) => metadata.name));
    const at = { now: clock.now(), silence: every * count, proxies };
    const all = await store.remoteClusters.list();
    return all
      .map((link) => ({ ...link.resource, status: statusOf(link, at) }))
      .filter((one) => caller.can("list", "remote_cluster", one));
  }

  /** Keeps that a proxy has heard of a cluster by a tunnel, or has none to it any more. Throws `not_found` for one that is not linked. */
  async heard({ name, connected }: { name: string; connected: boolean }, proxy: string): Promise<void> {
    const { store, clock } = this.#parts;
    await store.remoteClusters.get(name);
    await store.remoteClusters.update(name, (link) => {
      if (!link) return undefined;
      const { [proxy]: _, ...others } = link.tunnels;
      if (!connected) return { ...link, tunnels: others };
      const status = { ...link.resource.status, last_heartbeat: rfc3339(clock.now()) };
      return {
        ...link,
        resource: { ...link.resource, status },
        tunnels: { ...others, [proxy]: clock.now() },
      };
    });
  }

  /**
   * Takes up a cluster that comes with an invitation, and answers with this one's authorities (TC-04). Its own is kept where nothing
   * that checks certificates looks. Throws `access_denied` for a token that is not good for this.
   */
  async accept({ token: secret, authorities: given, clientAddress }: TrustRequest): Promise<CertAuthority[]> {
    const parts = this.#parts;
    const { store } = parts;
    const from = clientAddress ? { "addr.remote": clientAddress } : {};
    const claimed = given[0]?.metadata.name;
    let method: "token" | "static-token" | undefined;
    try {
      await this.#sources.refuseLocked(clientAddress);
      const token = await findToken(parts, secret);
      method = token?.method;
      if (!token?.roles.includes("trusted_cluster")) throw await this.#rejected(clientAddress);
      const { name, authorities } = await foreignAuthorities(parts, given, ["host"]);
      await refuseOtherKeys(parts, { name, authorities });
      const answer = await ownAuthorities(parts, ["host", "user"]);
      // Last, so that a cluster that gets nothing takes nothing.
      if (token.uses !== undefined && !(await spend(parts, secret)))
        throw await this.#rejected(clientAddress);
      await store.remoteClusters.update(name, (now) => {
        if (now && !sharesHostKey(now.authorities, authorities))
          throw new Fault(
            "compare_failed",
            `another cluster ${name} came at the same time; nothing was written`,
          );
        // One that is known comes again after it has removed its own record.
        return now ? undefined : { resource: offline(name), authorities, tunnels: {}, told: 0 };
      });
      await record(parts, { code: "T4193I", name, ...from, success: true, ...(method && { method }) });
      return answer;
    } catch (err) {
      const error = err instanceof Fault ? err.message : "internal error";
      await record(parts, {
        code: "T4193W",
        ...(claimed && { name: claimed }),
        ...from,
        success: false,
        error,
        ...(method && { method }),
      });
      throw err;
    }
  }

  async #rejected(clientAddress: string): Promise<Fault> {
    await this.#sources.count(clientAddress);
    return new Fault(
      "access_denied",
      "access denied: the cluster token has been rejected; tctl tokens add --type=trusted_cluster makes another",
    );
  }

  /** Ends the trust from this side: the other cluster's authority is forgotten (TC-11). Throws `not_found`. */
  async delete(name: string, caller: Caller): Promise<void> {
    const { store } = this.#parts;
    const { resource } = await store.remoteClusters.get(name);
    if (!caller.can("delete", "remote_cluster", resource))
      throw new Fault(
        "access_denied",
        `${caller.name} may not delete the remote cluster ${JSON.stringify(name)}`,
      );
    await store.remoteClusters.delete(name);
    await record(this.#parts, { code: "T4194I", user: caller.name, name });
  }
}

/** It has never called: that takes a tunnel (TC-15). */
export const offline = (name: string): RemoteCluster => ({
  kind: "remote_cluster",
  version: "v3",
  metadata: { name },
  status: { connection: "offline" },
});
