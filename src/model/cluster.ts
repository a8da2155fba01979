import { z } from "zod";

/** What holds for the whole cluster, from the auth server's file (CFG-41..56); stored at every start (CFG-60). */
export const ClusterConfig = z.strictObject({
  cluster_id: z.string(),
  cluster_name: z.string(),
  session_recording: z.enum(["node", "proxy", "off"]).default("node"),
  proxy_checks_host_keys: z.boolean().default(true),
  /** Milliseconds; 0 is never. */
  client_idle_timeout: z.number().default(0),
  disconnect_expired_cert: z.boolean().default(false),
  keep_alive_interval: z.number().default(300_000),
  keep_alive_count_max: z.number().default(3),
  exec_recording_limit: z.number().default(10 * 1024 * 1024),
});
export type ClusterConfig = z.output<typeof ClusterConfig>;

/** How people log in (CFG-45..49). */
export const AuthPreference = z.strictObject({
  type: z.enum(["local", "github", "oidc"]).default("local"),
  second_factor: z.enum(["off", "otp", "webauthn"]).default("otp"),
  connector_name: z.string().optional(),
  u2f: z.strictObject({ app_id: z.string(), facets: z.array(z.string()).default([]) }).optional(),
  local_auth: z.boolean().default(true),
});
export type AuthPreference = z.output<typeof AuthPreference>;
