import { aborted } from "#core/aborted";
import { sameSecret, sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import type { Service } from "#core/service";
import type { Caller } from "#model";
import { type TrustedClusterRecord, withLock } from "#store";
import type { Auth } from "../open.ts";
import { addressOf, checkFileLink, type FileLink, resourceOf } from "./file-links.ts";
import { type FileTrust, importTrust } from "./file-trust.ts";
import { insist, type Telling } from "./insist.ts";
import { refuseChanges } from "./trusted-clusters.ts";

/** What the configuration file says of other clusters. */
export interface OtherClusters {
  readonly links: readonly (FileLink & {
    /** Throws a `Fault` when the file that has it cannot be read. */
    readonly token: () => Promise<string>;
  })[];
  /** Authorities and tunnels, as older files have them; absent where there are none. Throws a `Fault` as `token` does. */
  readonly trust?: () => Promise<FileTrust>;
}

/**
 * Does what the file asks for, once, beside the start, which waits for nothing of it (CFG-61, CFG-64). What fails is told of, once for
 * each reason, and tried again while another outcome is possible. What is not in the file, or not any more, stays as it is.
 */
export function otherClustersOfFile(auth: Auth, { links, trust }: OtherClusters, hostId: string): Service {
  const { clusterName, parts } = auth;
  const { clock, random } = parts;
  return {
    name: "other clusters of the file",
    async run(signal, ready) {
      ready();
      const caller = await auth.callerOf({ kind: "system", role: "Auth", hostId, cluster: clusterName });
      const trying = { clock, random, signal, log: parts.log.with({ component: "trust" }) };
      const names = links.map(({ name }) => name);
      await Promise.all([
        trust &&
          insist(trying, "auth_service.authorities", async (telling) =>
            importTrust(parts, await trust(), { names, caller, telling }),
          ),
        ...links.map((link, i) =>
          insist(trying, `auth_service.trusted_clusters.${i}`, async (telling) => {
            const wrong = faultOf(() => checkFileLink(link, links.slice(0, i), clusterName));
            if (wrong) return telling.warn(wrong);
            const token = await tokenOf(link);
            const asked = { link, token, caller, telling, signal };
            // Others that begin with the same file are not to spend the token a second time.
            await withLock({ backend: parts.store.backend, clock, signal }, `trust/${link.name}`, () =>
              apply(auth, asked),
            );
          }),
        ),
      ]);
      await aborted(signal);
    },
  };
}

interface Asked {
  readonly link: FileLink;
  /** Or why it cannot be read, which does not matter where the link is made already. */
  readonly token: string | Fault;
  readonly caller: Caller;
  readonly telling: Telling;
  readonly signal: AbortSignal;
}

async function apply(auth: Auth, { link, token, caller, telling, signal }: Asked): Promise<void> {
  const { store, log } = auth.parts;
  const known = typeof token === "string" ? token : undefined;
  const given = resourceOf(link);
  const found = recordOf(link, known, await store.trustedClusters.list());
  if (!found) {
    if (token instanceof Fault) throw token;
    const asked = { ...given, spec: { ...given.spec, token } };
    const { isNews } = telling;
    const name = await auth.trustedClusters.link(asked, caller, { isNews, signal });
    if (name !== link.name)
      telling.warn(
        `trusted cluster ${JSON.stringify(link.name)} resource has been renamed to match remote cluster name ${JSON.stringify(name)}`,
      );
    return log.info("a cluster of the file is linked", { cluster: name });
  }
  const now = found.resource;
  const spec = known === undefined ? given.spec : { ...given.spec, token: known };
  const wanted = { ...now, spec };
  // Neither will another try change that, nor will anything that happens at the other end.
  const refusal = faultOf(() => refuseChanges(found, wanted));
  if (refusal) return telling.warn(refusal);
  if (now.spec.enabled === link.enabled) return;
  await auth.trustedClusters.put(wanted, true, caller);
  log.info("a link was set as the file has it", { cluster: now.metadata.name, enabled: link.enabled });
}

/**
 * The link that an entry means: of its name, or made under another name by the same web proxy (TC-03), the one with the entry's token
 * before others.
 */
function recordOf(
  { name, web_proxy_addr }: FileLink,
  token: string | undefined,
  all: readonly TrustedClusterRecord[],
): TrustedClusterRecord | undefined {
  const byName = all.find(({ resource }) => resource.metadata.name === name);
  if (byName) return byName;
  const address = addressOf(web_proxy_addr);
  const there = all.filter(({ resource }) => addressOf(resource.spec.web_proxy_addr) === address);
  const hash = token === undefined ? "" : sha256(token);
  return there.find(({ tokenHash }) => tokenHash && sameSecret(tokenHash, hash)) ?? there[0];
}

async function tokenOf(link: OtherClusters["links"][number]): Promise<string | Fault> {
  try {
    const token = await link.token();
    if (token !== "" && token.length <= 256) return token;
    return new Fault("bad_parameter", "its token is empty, or longer than any token is");
  } catch (err) {
    if (err instanceof Fault) return err;
    throw err;
  }
}

/** What is wrong, in words; other errors fly on. */
function faultOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (err) {
    if (err instanceof Fault) return err.message;
    throw err;
  }
}
