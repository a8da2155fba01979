import type { MirrorChange } from "#contract/auth";
import type { CertAuthority, ClusterConfig, ProxyServer, RemoteLink, Role, TrustedLink, User } from "#model";
import { NodeIndex } from "./node-index.ts";

type Put = Extract<MirrorChange, { type: "put" }>;

/** What one watch has told. A new watch fills a new one, which takes over when its list is complete. */
export class Copy {
  config: ClusterConfig | undefined;
  readonly authorities = new Map<string, CertAuthority>();
  readonly users = new Map<string, User>();
  readonly roles = new Map<string, Role>();
  readonly nodes = new NodeIndex();
  readonly proxies = new Map<string, ProxyServer>();
  readonly trusted = new Map<string, TrustedLink>();
  readonly remote = new Map<string, RemoteLink>();

  apply(change: MirrorChange): void {
    if (change.type === "put") this.#put(change);
    else if (change.type === "delete") {
      const of = {
        cert_authority: this.authorities,
        user: this.users,
        role: this.roles,
        node: this.nodes,
        proxy: this.proxies,
        auth_server: undefined,
        trusted_cluster: this.trusted,
        remote_cluster: this.remote,
      };
      of[change.kind]?.delete(change.name);
    }
  }

  #put(change: Put): void {
    switch (change.kind) {
      case "cluster_config":
        this.config = change.value;
        return;
      case "cert_authority":
        this.authorities.set(`${change.value.spec.type}/${change.value.metadata.name}`, change.value);
        return;
      case "user":
        this.users.set(change.value.metadata.name, change.value);
        return;
      case "role":
        this.roles.set(change.value.metadata.name, change.value);
        return;
      case "node":
        this.nodes.set(change.value.metadata.name, change.value);
        return;
      case "proxy":
        this.proxies.set(change.value.metadata.name, change.value);
        return;
      case "trusted_cluster":
        this.trusted.set(change.value.resource.metadata.name, change.value);
        return;
      case "remote_cluster":
        this.remote.set(change.value.resource.metadata.name, change.value);
        return;
      case "auth_server":
        return;
    }
  }

  /** All that it holds, as the watch would tell it. */
  *puts(): Generator<Put> {
    if (this.config) yield { type: "put", kind: "cluster_config", value: this.config };
    for (const value of this.authorities.values()) yield { type: "put", kind: "cert_authority", value };
    for (const value of this.roles.values()) yield { type: "put", kind: "role", value };
    for (const value of this.users.values()) yield { type: "put", kind: "user", value };
    for (const value of this.nodes.values()) yield { type: "put", kind: "node", value };
    for (const value of this.proxies.values()) yield { type: "put", kind: "proxy", value };
    for (const value of this.trusted.values()) yield { type: "put", kind: "trusted_cluster", value };
    for (const value of this.remote.values()) yield { type: "put", kind: "remote_cluster", value };
  }
}
