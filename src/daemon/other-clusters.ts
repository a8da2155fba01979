import { readFile } from "node:fs/promises";
import type { FileTrust, OtherClusters } from "#auth";
import { type Config, load } from "#config";
import { Fault } from "#core/errors";

/** What the configuration says of other clusters, for the auth service. Files are read when it asks for them. */
export function otherClusters({ auth_service: own }: Config): OtherClusters {
  return {
    links: own.trusted_clusters.map(({ token, ...link }) => ({
      ...link,
      token: async () => {
        const { resolveSecret } = await load();
        return (await resolveSecret(token, readText)).reveal();
      },
    })),
    ...(own.authorities.length + own.reverse_tunnels.length > 0 && { trust: () => fileTrust(own) }),
  };
}

/** The authorities and tunnels of an older file (CFG-61). Throws `not_found` for a file of keys that cannot be read. */
export async function fileTrust({
  authorities,
  reverse_tunnels,
}: Pick<Config["auth_service"], "authorities" | "reverse_tunnels">): Promise<FileTrust> {
  return {
    authorities: await Promise.all(
      authorities.map(async ({ type, domain_name, ...one }) => ({
        type,
        domain_name,
        keys: [...one.checking_keys, ...(await Promise.all(one.checking_key_files.map(readText)))],
        signs: one.signing_keys.length + one.signing_key_files.length > 0,
        namesLogins: one.allowed_logins.length > 0,
      })),
    ),
    tunnels: reverse_tunnels.map(({ domain_name, addresses, dial_addrs }) => ({
      domain_name,
      addresses: [...addresses, ...dial_addrs],
    })),
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new Fault("not_found", `cannot read ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}
