import type { Role } from "./role.ts";

/** Name of the role that everyone has on top of their own (RBAC-01); no one may store a role of this name. */
export const implicitRoleName = "default-implicit-role";

/** What every user may read: without this, `tsh ls` and `tsh status` could not work. */
export const implicitRole: Role = {
  kind: "role",
  version: "v3",
  metadata: { name: implicitRoleName },
  spec: {
    options: {},
    allow: {
      node_labels: {},
      rules: [
        { resources: ["node", "proxy", "auth_server", "tunnel"], verbs: ["list", "read"] },
        { resources: ["cert_authority"], verbs: ["list", "readnosecrets"] },
        { resources: ["cluster_auth_preference", "cluster_name", "cluster_config"], verbs: ["read"] },
      ],
    },
    deny: {},
  },
};

export const adminRoleName = "admin";

/** The role `admin`, there from the first start (RBAC-10). */
export const adminRole: Role = {
  kind: "role",
  version: "v3",
  metadata: { name: adminRoleName },
  spec: {
    options: { max_session_ttl: "30h0m0s", forward_agent: true, port_forwarding: true },
    allow: {
      logins: ["{{internal.logins}}"],
      kubernetes_groups: ["{{internal.kubernetes_groups}}"],
      node_labels: { "*": ["*"] },
      rules: [
        { resources: ["role"], verbs: ["list", "create", "read", "update", "delete"] },
        { resources: ["auth_connector"], verbs: ["list", "create", "read", "update", "delete"] },
        { resources: ["session"], verbs: ["list", "read"] },
        { resources: ["trusted_cluster"], verbs: ["list", "create", "read", "update", "delete"] },
        { resources: ["event"], verbs: ["list", "read"] },
      ],
    },
    deny: {},
  },
};
