import type { AuthSettings, ClusterKnown, FindAnswer, PingAnswer } from "#contract/web";
import { type Clock, type Millis, second } from "#core/clock";
import { Fault } from "#core/errors";
import type { App } from "#net";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";

/** How long auth may take until this proxy counts as unable to log anyone in. */
const authPatience: Millis = 5 * second;

/** What there is here and how to log in: for tsh, load balancers and the login page (WEB-10..12). */
export function discovery(
  { auth, proxy, versions, health, knowsCluster, clock }: WebApiOptions,
  { questions }: AddressLimits,
): { routes: (api: App) => void; ping: () => Promise<PingAnswer> } {
  const found: FindAnswer = { proxy, ...versions };
  // Strangers ask this at any rate they like; they share one question to auth.
  const settings = shared(() =>
    within(clock, authPatience, (signal) =>
      Promise.all([auth["cluster.preference"]({}, signal), auth["cluster.config"]({}, signal)]),
    ),
  );
  const ping = async (connector?: string): Promise<PingAnswer> => {
    const trouble = health();
    if (trouble !== undefined) throw new Fault("unreachable", trouble);
    const [preference, config] = await settings();
    return { auth: authSettings(preference, connector), cluster_name: config.cluster_name, ...found };
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
  return { routes, ping };
}

type Preference = Awaited<ReturnType<WebApiOptions["auth"]["cluster.preference"]>>;

function authSettings(
  { type, second_factor, u2f, connector_name }: Preference,
  connector: string | undefined,
): AuthSettings {
  const base = { second_factor, ...(u2f && { u2f: { app_id: u2f.app_id } }) };
  const local: AuthSettings = { type: "local", ...base, local: { name: "local" } };
  if (connector === "local" || (connector === undefined && type === "local")) return local;
  const name = connector_name ?? type;
  if (type === "local" || (connector !== undefined && connector !== name)) {
    throw new Fault("bad_parameter", `invalid connector name ${JSON.stringify(connector)}`);
  }
  return { type, ...base, [type]: { name, display: name } };
}

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
    throw new Fault("unreachable", "the auth service does not answer");
  });
  try {
    return await Promise.race([call(over.signal), late]);
  } finally {
    late.catch(() => {});
    over.abort();
  }
}
