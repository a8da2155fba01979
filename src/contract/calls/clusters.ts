import { z } from "zod";
import { CertAuthority, RemoteCluster, TrustedCluster } from "#model";
import { call } from "../rpc.ts";
import { force, name, none, system, was } from "./parts.ts";

/** Links to other clusters. */
export const trustCalls = {
  /** Without their tokens. */
  "trusted_clusters.list": call({
    input: none,
    output: z.array(TrustedCluster),
    allow: ["list", "trusted_cluster"],
  }),
  /** `name`: what the other cluster is called, which may not be what it was called in the request. */
  "trusted_clusters.put": call({
    input: z.strictObject({ cluster: TrustedCluster, force, was: was(TrustedCluster) }),
    output: z.object({ created: z.boolean(), name: z.string() }),
    allow: (caller, { force }) => caller.can(force ? "update" : "create", "trusted_cluster"),
  }),
  "trusted_clusters.delete": call({ input: name, output: z.void(), allow: ["delete", "trusted_cluster"] }),
  "remote_clusters.list": call({
    input: none,
    output: z.array(RemoteCluster),
    allow: ["list", "remote_cluster"],
  }),
  /** For a cluster that came to a proxy with an invitation and its host authority; the answer has this one's. Public parts all. */
  "remote_clusters.accept": call({
    input: z.strictObject({
      token: z.string().min(1).max(256),
      authorities: z.array(CertAuthority).length(1),
      client_addr: z.string().default(""),
    }),
    output: z.array(CertAuthority),
    allow: system("Proxy"),
  }),
  /** A proxy has heard of a remote cluster by a tunnel, or has lost its last one to it (TUN-05). */
  "remote_clusters.tunnel": call({
    input: z.strictObject({ name: z.string().min(1), connected: z.boolean() }),
    output: z.void(),
    allow: system("Proxy"),
  }),
  /** What this cluster tells those that are linked to it of its authorities, signed by its host authority (ROT-10). Public parts all. */
  "links.statement": call({
    input: none,
    output: z.object({ statement: z.string() }),
    allow: system("Proxy"),
  }),
  /** What a linked cluster has told by a tunnel. */
  "links.learn": call({
    input: z.strictObject({ name: z.string().min(1), statement: z.string().max(64 * 1024) }),
    output: z.void(),
    allow: system("Proxy"),
  }),
  "remote_clusters.delete": call({ input: name, output: z.void(), allow: ["delete", "remote_cluster"] }),
};
