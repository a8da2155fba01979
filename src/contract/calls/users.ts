import { z } from "zod";
import { AuthPreference, Traits, User } from "#model";
import { call } from "../rpc.ts";
import { KeyCreation, KeysCreated } from "../webauthn.ts";
import { admin, force, name, none, sshPublicKey, system, tlsPublicKey, ttl, was } from "./parts.ts";
import { credentials, IssuedCerts, WebSession, withKey } from "./people.ts";

/** Accounts, their locks, and invitations to sign up or to choose a new password. */
export const userCalls = {
  "users.list": call({ input: none, output: z.array(User), allow: ["list", "user"] }),
  "users.get": call({
    input: name,
    output: User,
    allow: (caller, { name }) =>
      caller.can("read", "user") || (caller.kind === "user" && caller.user === name),
  }),
  "users.put": call({
    input: z.strictObject({ user: User, force, was: was(User) }),
    output: z.object({ created: z.boolean() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "user"),
  }),
  "users.delete": call({ input: name, output: z.void(), allow: ["delete", "user"] }),
  /** Replaces what is given: roles, and those of the traits that are named. */
  "users.change": call({
    input: z.strictObject({
      ...name.shape,
      roles: z.array(z.string()).min(1).optional(),
      traits: Traits.optional(),
    }),
    output: z.void(),
    allow: ["update", "user"],
  }),
  /** Closes an account, also to certificates and sessions that are there (AUTH-44). */
  "users.lock": call({
    input: z.strictObject({ ...name.shape, message: z.string().max(1000).optional() }),
    output: z.void(),
    allow: ["update", "user"],
  }),
  "users.unlock": call({ input: name, output: z.void(), allow: ["update", "user"] }),
  /** An address, or what `locks.list` names. */
  "sources.unlock": call({
    input: z.strictObject({ source: z.string().min(1).max(64) }),
    output: z.void(),
    allow: ["update", "user"],
  }),
  "locks.list": call({
    input: none,
    output: z.array(
      z.object({
        kind: z.enum(["user", "source"]),
        name: z.string(),
        /** RFC 3339; absent: until it is lifted. */
        until: z.string().optional(),
        message: z.string().optional(),
      }),
    ),
    allow: ["list", "user"],
  }),
  /** Voids password, second factor and web sessions, and invites their owner to choose new ones. */
  "users.reset": call({
    input: z.strictObject({ ...name.shape, ttl }),
    output: z.object({
      token: z.string(),
      expires: z.number(),
      /** https://…/web/reset/<token> */ url: z.string(),
    }),
    allow: ["update", "user"],
  }),
  /**
   * Certificates of an account without a login, for programs: by the roles and traits of now, but for as long as is asked. For
   * either key or both.
   */
  "users.sign": call({
    input: z.strictObject({
      user: z.string().min(1).max(255),
      pub_key: sshPublicKey.optional(),
      tls_pub_key: tlsPublicKey.optional(),
      ttl,
      compatibility: z.enum(["", "standard", "oldssh"]).default(""),
    }),
    output: IssuedCerts,
    allow: admin,
  }),
  "signups.create": call({
    input: z.strictObject({
      user: z.string().min(1).max(255),
      roles: z.array(z.string()).default(["admin"]),
      traits: Traits,
      ttl,
    }),
    output: z.object({
      token: z.string(),
      expires: z.number(),
      /** https://…/web/newuser/<token> */ url: z.string(),
    }),
    allow: ["create", "user"],
  }),
  /** What the signup page shows. Makes a new second-factor seed each time (AUTH-34). */
  "signups.get": call({
    input: z.strictObject({ token: z.string().max(256) }),
    output: z.object({
      user: z.string(),
      second_factor: AuthPreference.shape.second_factor.unwrap(),
      /** otpauth:// URI when a code is asked for. */
      otp_uri: z.string().optional(),
      /** The account is there, and gets a new password. */
      reset: z.literal(true).optional(),
    }),
    allow: system("Proxy"),
  }),
  /** What the signup page asks a new security key for. */
  "signups.challenge": call({
    input: z.strictObject({ token: z.string().max(256) }),
    output: KeyCreation,
    allow: system("Proxy"),
  }),
  "signups.complete": call({
    input: z.strictObject({
      token: z.string().max(256),
      password: credentials.password,
      otp_token: credentials.otp_token,
      webauthn: KeysCreated,
      client_addr: credentials.client_addr,
    }),
    output: WebSession,
    allow: system("Proxy"),
  }),
  /** Ends all web sessions of the user; the answer is a new one. */
  "users.change_password": call({
    input: z.strictObject({ ...withKey, new_password: z.string().max(1024) }),
    output: WebSession,
    allow: system("Proxy"),
  }),
};
