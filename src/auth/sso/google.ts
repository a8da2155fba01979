import { z } from "zod";
import { Fault } from "#core/errors";
import type { OidcConnector } from "#model";
import { jsonOf, type Outgoing } from "./http.ts";

const issuer = "https://accounts.google.com";
const groupsScope = "https://www.googleapis.com/auth/admin.directory.group.readonly";
const directory = "https://admin.googleapis.com/admin/directory/v1/groups";
const mostPages = 20;

/** Google tells no groups in its claims; who asks for this scope wants them from the directory of its Workspace (AUTH-72). */
export const asksGoogleForGroups = ({ spec }: OidcConnector): boolean =>
  spec.issuer_url.replace(/\/$/, "") === issuer && (spec.scope?.includes(groupsScope) ?? false);

/** The addresses of the groups that `email` is in, as the holder of `token` may see them. */
export async function googleGroups(ask: Outgoing, token: string, email: string): Promise<string[]> {
  const groups: string[] = [];
  let next: string | undefined;
  for (let page = 0; page < mostPages; page++) {
    const query = new URLSearchParams({
      userKey: email,
      maxResults: "200",
      ...(next && { pageToken: next }),
    });
    const response = await ask(`${directory}?${query}`, { headers: { authorization: `Bearer ${token}` } });
    const answer = Groups.safeParse(await jsonOf(response, "Google's directory of groups"));
    if (!answer.success)
      throw new Fault("unreachable", "Google's directory of groups gave an answer that makes no sense");
    groups.push(...answer.data.groups.map((group) => group.email));
    next = answer.data.nextPageToken;
    if (next === undefined) break;
  }
  return groups;
}

const Groups = z.object({
  groups: z.array(z.object({ email: z.string() })).default([]),
  nextPageToken: z.string().optional(),
});
