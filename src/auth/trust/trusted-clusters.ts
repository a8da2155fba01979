import { isDeepStrictEqual } from "node:util";
import { sameSecret, sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { type Caller, localRolesOf, type TrustedCluster, validateTrustedCluster } from "#model";
import type { TrustedClusterRecord } from "#store";
import { record } from "../audit.ts";
import { refuseExpired, refuseOvertaken } from "../overtaken.ts";
import type { Parts } from "../parts.ts";
import { type Outgoing, outgoing } from "../sso/http.ts";
import { foreignAuthorities, ownAuthorities, refuseOtherKeys, sameName } from "./authorities.ts";
import { checkAddress, exchange } from "./exchange.ts";

/** Clusters whose people this one is to let in (TC-01). */
export class TrustedClusters {
  readonly #parts: Parts;
  readonly #send: Outgoing;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#send = outgoing(parts, { anyCertificate: parts.config.anyClusterCertificate ?? false });
  }

  /** Without their tokens, which are not kept. */
  async list(caller: Caller): Promise<TrustedCluster[]> {
    const all = await this.#parts.store.trustedClusters.list();
    return all.map(({ resource }) => resource).filter((one) => caller.can("list", "trusted_cluster", one));
  }

  /**
   * Links this cluster to another by exchanging authorities with it, or, with `force`, writes anew what may change of a link that is
   * there (TC-04, TC-09). The answer has the name that the other cluster goes by, which is the record's (TC-03).
   */
  async put(
    given: TrustedCluster,
    force: boolean,
    caller: Caller,
    was?: TrustedCluster,
  ): Promise<{ created: boolean; name: string }> {
    const { name } = given.metadata;
    const now = (await this.#parts.store.trustedClusters.find(name))?.resource;
    if (was) refuseOvertaken(was, now);
    if (now && !force) throw taken(name);
    for (const about of now ? [now, given] : [given]) this.#require(now ? "update" : "create", about, caller);
    validateTrustedCluster(given);
    refuseExpired(given, this.#parts.clock.now());
    if (!now) return { created: true, name: await this.#link(given, caller, {}) };
    await this.#update(given, caller, was);
    return { created: false, name };
  }

  /** Links this cluster to one that the file names, as often as it takes; answers the name that it goes by. */
  link(given: TrustedCluster, caller: Caller, attempt: Attempt): Promise<string> {
    this.#require("create", given, caller);
    return this.#link(given, caller, attempt);
  }

  /** Ends the trust from this side: the other cluster's authorities are forgotten (TC-12). Throws `not_found`. */
  async delete(name: string, caller: Caller): Promise<void> {
    const { store } = this.#parts;
    const { resource } = await store.trustedClusters.get(name);
    this.#require("delete", resource, caller);
    await store.trustedClusters.delete(name);
    await record(this.#parts, { code: "T4192I", user: caller.name, name });
  }

  async #link(given: TrustedCluster, caller: Caller, attempt: Attempt): Promise<string> {
    const about = { user: caller.name, addr: given.spec.web_proxy_addr };
    try {
      const name = await this.#establish(given, caller, attempt.signal);
      await record(this.#parts, { code: "T4190I", ...about, name, success: true });
      return name;
    } catch (err) {
      const error = err instanceof Fault ? err.message : "internal error";
      if (attempt.isNews?.(error) ?? true)
        await record(this.#parts, {
          code: "T4190W",
          ...about,
          name: given.metadata.name,
          success: false,
          error,
        });
      throw err;
    }
  }

  async #establish(given: TrustedCluster, caller: Caller, signal?: AbortSignal): Promise<string> {
    const parts = this.#parts;
    const { token, ...spec } = given.spec;
    const wanted = given.metadata.name;
    if (token === undefined)
      throw new Fault(
        "bad_parameter",
        `the trusted cluster ${JSON.stringify(wanted)} has no spec.token; make one there with tctl tokens add --type=trusted_cluster`,
      );
    if (wanted.toLowerCase() === parts.clusterName.toLowerCase()) throw new Fault("bad_parameter", sameName);
    const address = checkAddress("spec.web_proxy_addr", spec.web_proxy_addr);
    if (spec.tunnel_addr !== undefined) checkAddress("spec.tunnel_addr", spec.tunnel_addr);
    await this.#refuseMissingRoles(given);
    const came = await exchange(this.#send, address, {
      token,
      authorities: await ownAuthorities(parts, ["host"]),
      ...(signal && { signal }),
    });
    const { name, authorities } = await foreignAuthorities(parts, came, ["host", "user"]).catch(
      (cause: unknown) => {
        if (!Fault.is(cause, "bad_parameter") || cause.message === sameName) throw cause;
        throw new Fault(
          "protocol",
          `https://${address} answers with authorities that are refused: ${cause.message}`,
          {
            cause,
          },
        );
      },
    );
    await refuseOtherKeys(parts, { name, authorities });
    const resource: TrustedCluster = { ...given, metadata: { ...given.metadata, name }, spec };
    if (name !== wanted) this.#require("create", resource, caller);
    await parts.store.trustedClusters.update(name, (now) => {
      if (now) throw taken(name);
      return { resource, tokenHash: sha256(token), authorities, told: 0 };
    });
    return name;
  }

  async #update(given: TrustedCluster, caller: Caller, was: TrustedCluster | undefined): Promise<void> {
    const { name } = given.metadata;
    const { enabled } = given.spec;
    await this.#parts.store.trustedClusters.update(name, (now) => {
      if (!now)
        throw new Fault(
          "compare_failed",
          `the trusted cluster ${JSON.stringify(name)} was deleted meanwhile`,
        );
      if (was) refuseOvertaken(was, now.resource);
      refuseChanges(now, given);
      const spec = { ...now.resource.spec, enabled };
      return { ...now, resource: { ...now.resource, metadata: given.metadata, spec } };
    });
    await record(this.#parts, { code: "T4191I", user: caller.name, name, enabled });
  }

  #require(verb: "create" | "update" | "delete", about: TrustedCluster, caller: Caller): void {
    if (caller.can(verb, "trusted_cluster", about)) return;
    const name = JSON.stringify(about.metadata.name);
    throw new Fault("access_denied", `${caller.name} may not ${verb} the trusted cluster ${name}`);
  }

  async #refuseMissingRoles(given: TrustedCluster): Promise<void> {
    const there = new Set((await this.#parts.store.roles.list()).map(({ metadata }) => metadata.name));
    const missing = localRolesOf(given).find((role) => !there.has(role));
    if (missing === undefined) return;
    throw new Fault(
      "bad_parameter",
      `a role ${JSON.stringify(missing)} referenced in a mapping of the trusted cluster ${JSON.stringify(given.metadata.name)} is not defined`,
    );
  }
}

/** One of several to make the same link. */
interface Attempt {
  /** Whether this reason of a failure is to be written down; it is unless told otherwise. */
  readonly isNews?: (error: string) => boolean;
  readonly signal?: AbortSignal;
}

const taken = (name: string): Fault =>
  new Fault("already_exists", `trusted cluster ${JSON.stringify(name)} already exists`);

/**
 * A link stays what it was made as, but for whether it is enabled (TC-09). What it was made with need not be given again. Throws
 * `bad_parameter`.
 */
export function refuseChanges({ resource, tokenHash }: TrustedClusterRecord, given: TrustedCluster): void {
  const { token, web_proxy_addr, tunnel_addr, role_map, roles } = given.spec;
  const now = resource.spec;
  const refuse = (what: string): never => {
    throw new Fault(
      "bad_parameter",
      `can not update ${what} for existing trusted cluster ${JSON.stringify(given.metadata.name)}; tctl rm it and create it anew, with a new token`,
    );
  };
  if (token !== undefined && !(tokenHash && sameSecret(sha256(token), tokenHash))) refuse("token");
  if (web_proxy_addr !== now.web_proxy_addr) refuse("proxy address");
  if (tunnel_addr !== now.tunnel_addr) refuse("tunnel address");
  if (!isDeepStrictEqual([role_map, roles], [now.role_map, now.roles])) refuse("role map");
}
