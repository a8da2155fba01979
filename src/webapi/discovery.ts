import type { AuthSettings, ClusterKnown, FindAnswer, PingAnswer, Provider, WebConfig } from "#contract/web";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { Connector } from "#model";
import type { App } from "#net";
import { authIsAway } from "./away.ts";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";

/** How long auth may take until this proxy counts as unable to log anyone in. */
const authPatience: Millis = 5 * second;

/** What there is here and how to log in: for tsh, load balancers and the login page (WEB-10..12). */
export function discovery(
  { auth, proxy, versions, health, knowsCluster, clock }: WebApiOptions,
  { questions }: AddressLimits,
): { routes: (api: App) => void; webConfig: () => Promise<WebConfig> } {
  const found: FindAnswer = { proxy, ...versions };
  // Strangers ask this at any rate they like; they share one question to auth.
  const settings = shared(() =>
    within(clock, authPatience, (signal) =>
      Promise.all([
        auth["cluster.preference"]({}, signal),
        auth["cluster.config"]({}, signal),
        auth["connectors.list"]({}, signal),
      ]),
    ),
  );
  const known = async (): ReturnType<typeof settings> => {
    const trouble = health();
    if (trouble !== undefined) throw new Fault("unreachable", trouble);
    return settings();
  };
  const ping = async (connector?: string): Promise<PingAnswer> => {
    const [preference, { cluster_name }, connectors] = await known();
    return { auth: authSettings(preference, connectors, connector), cluster_name, ...found };
  };
  const webConfig = async (): Promise<WebConfig> => {
    const [preference, { cluster_name }, connectors] = await known();
    const auth = authSettings(preference, connectors, undefined);
    const providers = connectors.flatMap((connector) => providerOf(connector) ?? []);
    return { auth, cluster_name, ...found, providers, local_auth: preference.local_auth };
  };

  const routes = (api: App): void => {
    api.get("/ping", () => ping());
    api.get<{ Params: { connector: string } }>("/ping/:connector", ({ params }) => ping(params.connector));
    api.get<{ Querystring: { cluster?: string | string[] } }>(
      "/find",
      async (request): Promise<FindAnswer | ClusterKnown> => {
        questions.take(request.raw.socket);
        const { cluster } = request.query;
        if (cluster === undefined) return found;
        if (typeof cluster !== "string") throw new Fault("bad_parameter", "name one cluster");
        return { known: knowsCluster(cluster) };
      },
    );
  };
  return { routes, webConfig };
}

type Preference = Awaited<ReturnType<WebApiOptions["auth"]["cluster.preference"]>>;

function authSettings(
  { type, second_factor, u2f, connector_name, local_auth }: Preference,
  connectors: readonly Connector[],
  asked: string | undefined,
): AuthSettings {
  const base = { second_factor, ...(u2f && { u2f: { app_id: u2f.app_id } }) };
  const isLocal = asked === "local" || (asked === undefined && type === "local");
  if (asked === "local" && !local_auth)
    throw new Fault("bad_parameter", "logins with a local password are switched off in this cluster");
  if (isLocal) return { type: "local", ...base, local: { name: "local" } };
  // Of one name there may be one of each kind; then it is that of the default kind.
  const inOrder = connectors.toSorted((a, b) => Number(b.kind === type) - Number(a.kind === type));
  if (asked === undefined) {
    const name = connector_name ?? inOrder.find(({ kind }) => kind === type)?.metadata.name;
    const found = inOrder.find(({ kind, metadata }) => kind === type && metadata.name === name);
    const provider = found && providerOf(found);
    // Without one nobody logs in, but the proxy is well: it says so where somebody tries.
    return provider ? named(provider, base) : { type, ...base };
  }
  const found = inOrder.find(({ metadata }) => metadata.name === asked);
  const provider = found && providerOf(found);
  if (provider) return named(provider, base);
  throw new Fault(
    "bad_parameter",
    found
      ? `nobody logs in by the SAML connector ${JSON.stringify(asked)}; most SAML providers speak OpenID Connect too`
      : `invalid connector name ${JSON.stringify(asked)}`,
  );
}

const named = ({ type, name, display }: Provider, base: Omit<AuthSettings, "type">): AuthSettings => ({
  type,
  ...base,
  [type]: { name, display },
});

/** What people see of a connector; undefined for one by which nobody logs in. */
const providerOf = ({ kind, metadata: { name }, spec: { display } }: Connector): Provider | undefined =>
  kind === "saml" ? undefined : { type: kind, name, display: display || name };

/** While one call is under way everyone gets its answer. */
function shared<T>(call: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  return () => {
    current ??= call().finally(() => {
      current = undefined;
    });
    return current;
  };
}

async function within<T>(clock: Clock, limit: Millis, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = clock.sleep(limit, over.signal, { background: true }).then(() => {
    throw new Fault("unreachable", authIsAway);
  });
  try {
    return await Promise.race([call(over.signal), late]);
  } finally {
    late.catch(() => {});
    over.abort();
  }
}
