import { z } from "zod";
import { CertAuthority } from "#model";

// What clusters say to each other. Not in `web.ts`, since browsers have nothing to do with it and would have to load the model.

/**
 * POST /webapi/trustedclusters/validate (WEB-32): a cluster that wants to trust the one it asks, with an invitation and its host
 * authority.
 */
export const TrustRequest = z.object({
  token: z.string().min(1).max(256),
  certificate_authorities: z.array(CertAuthority).length(1),
});
/** The host and the user authority of the cluster that was asked. Public parts all. */
export const TrustAnswer = z.object({ certificate_authorities: z.array(CertAuthority).max(2) });
export type TrustAnswer = z.output<typeof TrustAnswer>;
