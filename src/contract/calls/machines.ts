import { z } from "zod";
import { AuthServer, joinRoles, Node, ProxyServer, Token } from "#model";
import { call } from "../rpc.ts";
import { admin, anyone, name, none, own, readable, sshPublicKey, tlsPublicKey, ttl } from "./parts.ts";

const HostCerts = z.object({
  /** SSH host certificate, authorized_keys line. */
  cert: z.string(),
  /** PEM. */
  tls_cert: z.string(),
  /** PEM certificates of the host CA: whom the member trusts on the auth API. */
  tls_ca_certs: z.array(z.string()),
  /** SSH host CA keys, authorized_keys lines. */
  ssh_ca_certs: z.array(z.string()),
});
export type HostCerts = z.output<typeof HostCerts>;
const hostKeys = {
  host_id: z.uuid(),
  node_name: z.string().min(1).max(255),
  additional_principals: z.array(z.string()).default([]),
  dns_names: z.array(z.string()).default([]),
  public_ssh_key: sshPublicKey,
  public_tls_key: tlsPublicKey,
};

/** Machines: joining, certificates, presence; and the tokens that invite them. */
export const machineCalls = {
  "hosts.join": call({
    input: z.strictObject({
      ...hostKeys,
      role: z.enum(["Node", "Proxy", "Auth"]),
      token: z.string(),
      remote_addr: z.string().default(""),
    }),
    output: HostCerts,
    allow: anyone,
  }),
  /** New certificates for a member that has some: renewal, or changed addresses (AUTH-21, AUTH-24). */
  "hosts.renew": call({
    input: z.strictObject({ ...hostKeys, role: z.enum(["Node", "Proxy", "Auth"]) }),
    output: HostCerts,
    allow: (caller, { host_id, role }) =>
      caller.kind === "system" && caller.hostId === host_id && caller.role === role,
  }),
  /**
   * For process number `process` of the proxy `host_id` (`proxy_service.processes`), which has an identity of its own, with the
   * host id `companionId`, and needs no token.
   */
  "hosts.companion": call({
    input: z.strictObject({ ...hostKeys, process: z.int().min(2).max(256) }),
    output: HostCerts,
    allow: (caller, { host_id }) =>
      caller.kind === "system" && caller.role === "Proxy" && caller.hostId === host_id,
  }),
  "nodes.list": call({ input: none, output: z.array(Node), many: true, allow: readable("node") }),
  /**
   * An SSH certificate for a host that is no member, as one with OpenSSH's sshd, under exactly these names. Without `ttl` it does
   * not end.
   */
  "hosts.sign": call({
    input: z.strictObject({
      names: z.array(z.string().max(1024)).max(256),
      pub_key: sshPublicKey,
      ttl: ttl.optional(),
    }),
    output: z.object({
      /** authorized_keys line. */
      cert: z.string(),
    }),
    allow: admin,
  }),
  "nodes.announce": call({ input: Node, output: z.void(), allow: own("Node") }),
  "nodes.remove": call({
    input: name,
    output: z.void(),
    allow: (caller, { name }) => caller.can("delete", "node") || own("Node")(caller, { metadata: { name } }),
  }),
  "proxies.list": call({ input: none, output: z.array(ProxyServer), allow: readable("proxy") }),
  "proxies.announce": call({ input: ProxyServer, output: z.void(), allow: own("Proxy") }),
  "proxies.remove": call({
    input: name,
    output: z.void(),
    allow: (caller, { name }) => own("Proxy")(caller, { metadata: { name } }),
  }),
  "auth_servers.list": call({ input: none, output: z.array(AuthServer), allow: readable("auth_server") }),

  // Invite tokens.
  "tokens.list": call({ input: none, output: z.array(Token), allow: ["list", "token"] }),
  "tokens.create": call({
    input: z.strictObject({
      roles: z.array(z.enum(joinRoles)).min(1),
      /** Absent: 32 random hex digits. */
      value: z.string().min(1).max(256).optional(),
      ttl,
      /** How many hosts it lets in; absent: any number. */
      uses: z.int().min(1).max(1_000_000).optional(),
    }),
    output: Token,
    allow: ["create", "token"],
  }),
  "tokens.delete": call({ input: name, output: z.void(), allow: ["delete", "token"] }),
};
