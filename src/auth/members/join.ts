import type { HostCerts } from "#contract/auth";
import { Fault } from "#core/errors";
import type { SystemRole } from "#model";
import { record } from "../audit.ts";
import { type HostCertRequest, issueHostCerts } from "../certificates/issue-host.ts";
import type { Parts } from "../parts.ts";
import { findToken, spend } from "./tokens.ts";

/** How many hosts of a role may be given certificates at once; more are told to come again (AUTH-22). */
const concurrent = 10;

type JoinRequest = HostCertRequest & { readonly role: "Node" | "Proxy" | "Auth" };

/** Lets hosts into the cluster, and renews their certificates (AUTH-14, AUTH-18, AUTH-24). */
export class Joins {
  readonly #parts: Parts;
  readonly #busy = new Map<SystemRole, number>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** A stranger with an invite token. Throws `access_denied` when the token is not good for this. */
  async join(request: JoinRequest & { readonly token: string }): Promise<HostCerts> {
    const { role, host_id, node_name, remote_addr } = request;
    const from = remote_addr ? { "addr.remote": remote_addr } : {};
    const about = { role, hostname: node_name, server_id: host_id, ...from };
    let method: "token" | "static-token" | undefined;
    try {
      const token = await findToken(this.#parts, request.token);
      method = token?.method;
      const who = `${JSON.stringify(node_name)} [${host_id}]`;
      const notValid = (): Fault =>
        new Fault(
          "access_denied",
          `${who} can not join the cluster with role ${role}, the token is not valid`,
        );
      if (!token) throw notValid();
      if (!token.roles.includes(role.toLowerCase()))
        throw new Fault(
          "access_denied",
          `node ${who} can not join the cluster, the token does not allow "${role}" role`,
        );
      await this.#refuseLivingMember(request);
      const certs = await this.#limited(role, () => issueHostCerts(this.#parts, request));
      // Last, so that a host that gets nothing takes nothing.
      if (token.uses !== undefined && !(await spend(this.#parts, request.token))) throw notValid();
      await record(this.#parts, { code: "T4000I", ...about, success: true, ...(method && { method }) });
      return certs;
    } catch (err) {
      const error = err instanceof Fault ? err.message : "internal error";
      await record(this.#parts, {
        code: "T4000W",
        ...about,
        success: false,
        error,
        ...(method && { method }),
      });
      throw err;
    }
  }

  /** A member for itself, with the identity it has; the contract has checked that it asks for its own. */
  renew(request: JoinRequest): Promise<HostCerts> {
    return this.#limited(request.role, () => issueHostCerts(this.#parts, request));
  }

  /** An invite token makes new members; it does not make anyone a member that is there already. */
  /** A further process of a proxy, for which the proxy itself asks. */
  async companion(request: Omit<JoinRequest, "role">): Promise<HostCerts> {
    const role = "Proxy";
    const certs = await this.#limited(role, () => issueHostCerts(this.#parts, { ...request, role }));
    const { node_name: hostname, host_id: server_id } = request;
    await record(this.#parts, { code: "T4000I", role, hostname, server_id, success: true });
    return certs;
  }

  async #refuseLivingMember({ role, host_id }: JoinRequest): Promise<void> {
    const { nodes, proxies, authServers } = this.#parts.store;
    const members = { Node: nodes, Proxy: proxies, Auth: authServers }[role];
    if (await members.find(host_id))
      throw new Fault(
        "access_denied",
        `a ${role.toLowerCase()} with the host id ${host_id} is alive in the cluster; if it is gone, try again in 30 s`,
      );
  }

  async #limited<T>(role: SystemRole, work: () => Promise<T>): Promise<T> {
    const busy = this.#busy.get(role) ?? 0;
    if (busy >= concurrent)
      throw new Fault("limit_exceeded", `too many hosts ask for ${role} certificates at once; try again`);
    this.#busy.set(role, busy + 1);
    try {
      return await work();
    } finally {
      this.#busy.set(role, (this.#busy.get(role) ?? 1) - 1);
    }
  }
}
