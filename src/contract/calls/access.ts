import { z } from "zod";
import { Connector, Labels, Role } from "#model";
import { call } from "../rpc.ts";
import { admin, force, name, none, readable, was } from "./parts.ts";

const grounds = {
  reason: z.string(),
  role: z.string().optional(),
  /** The place in the role: `deny.logins[0]`. */
  rule: z.string().optional(),
  /** What is written there, as JSON. */
  text: z.string().optional(),
};
/** What roles decide, and why. */
const AccessExplanation = z.object({
  user: z.string(),
  roles: z.array(z.string()),
  action: z.string(),
  login: z.string().optional(),
  node: z.object({ id: z.string(), hostname: z.string(), labels: Labels }).optional(),
  allowed: z.boolean(),
  /** `nothing`: no rule allows it, so it is denied. `account`: it is locked or has expired. */
  by: z.enum(["allow", "deny", "nothing", "account"]),
  reason: z.string(),
  /** The rule that decides; absent where there is none. */
  decided: z.object(grounds).optional(),
  /** Of what is denied: what would allow it without that rule, or comes nearest to. */
  nearest: z.object({ ...grounds, would_allow: z.boolean() }).optional(),
  /** What holds for a session there. */
  options: z
    .object({
      max_session_ttl: z.string(),
      client_idle_timeout: z.string(),
      disconnect_expired_cert: z.boolean(),
      recording: z.enum(["on", "off", "required"]),
      pin_source_ip: z.boolean(),
      source_addresses: z.array(z.string()).optional(),
    })
    .optional(),
  notes: z.array(z.string()),
});
export type AccessExplanation = z.output<typeof AccessExplanation>;

/** Roles, what they decide, and connectors: other places where people log in. */
export const accessCalls = {
  "roles.list": call({ input: none, output: z.array(Role), allow: readable("role") }),
  "roles.get": call({ input: name, output: Role, allow: (caller) => readable("role")(caller) }),
  "roles.put": call({
    input: z.strictObject({ role: Role, force, was: was(Role) }),
    output: z.object({ created: z.boolean() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "role"),
  }),
  "roles.delete": call({ input: name, output: z.void(), allow: ["delete", "role"] }),

  // Connectors.
  /** Client secrets and private keys only when asked for. */
  "connectors.list": call({
    input: z.strictObject({ secrets: z.boolean().default(false) }),
    output: z.array(Connector),
    allow: (caller, { secrets }) =>
      secrets
        ? caller.can("read", "auth_connector")
        : caller.can("list", "auth_connector") || caller.can("readnosecrets", "auth_connector"),
  }),
  /** A connector without its secret keeps the secret that is stored. */
  "connectors.put": call({
    input: z.strictObject({ connector: Connector, force, was: was(Connector) }),
    output: z.object({ created: z.boolean() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "auth_connector"),
  }),
  "connectors.delete": call({
    input: z.strictObject({ kind: z.enum(["github", "oidc", "saml"]), name: z.string().min(1) }),
    output: z.void(),
    allow: ["delete", "auth_connector"],
  }),

  /** What the roles of now decide for a user, and which rule; `target`: LOGIN@NODE. The handler asks for `read` of user and node too. */
  "access.explain": call({
    input: z.strictObject({
      user: z.string().min(1).max(255),
      target: z.string().max(600).optional(),
      action: z.string().max(600).default("ssh"),
    }),
    output: AccessExplanation,
    allow: (caller) => (caller.kind === "system" ? admin(caller) : caller.can("read", "role")),
  }),
};
