import { Fault } from "#core/errors";
import { type Caller, type Connector, type ConnectorKind, valueMapper, withoutSecrets } from "#model";
import { record } from "../audit.ts";
import { refuseExpired, refuseOvertaken } from "../overtaken.ts";
import type { Parts } from "../parts.ts";

/** Those that the caller may see, by kind and name. */
export async function listConnectors(parts: Parts, secrets: boolean, caller: Caller): Promise<Connector[]> {
  const all = await parts.store.connectors.list();
  const may = (connector: Connector): boolean =>
    caller.can(secrets ? "read" : "readnosecrets", "auth_connector", connector) ||
    (!secrets && caller.can("list", "auth_connector", connector));
  const seen = all.filter(may);
  if (!secrets) return seen.map(withoutSecrets);
  const names = seen.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
  if (names.length > 0) await record(parts, { code: "T4132W", user: caller.name, names });
  return seen;
}

/**
 * Creates or, with `force`, replaces a connector. One that comes without its secret, as `tctl get` prints it, keeps the
 * one that is stored. Throws `already_exists`, or `bad_parameter` for one that has no secret at all.
 */
export async function putConnector(
  parts: Parts,
  connector: Connector,
  force: boolean,
  caller: Caller,
  was?: Connector,
): Promise<{ created: boolean }> {
  const { kind, metadata } = connector;
  checkConnector(connector);
  refuseExpired(connector, parts.clock.now());
  let created = false;
  await parts.store.connectors.update(`${kind}/${metadata.name}`, (now) => {
    created = now === undefined;
    if (was) refuseOvertaken(withoutSecrets(was), now && withoutSecrets(now));
    if (now && !force)
      throw new Fault("already_exists", `authentication connector '${metadata.name}' already exists`);
    const verb = now ? "update" : "create";
    for (const about of now ? [now, connector] : [connector]) {
      if (!caller.can(verb, "auth_connector", about))
        throw new Fault(
          "access_denied",
          `${caller.name} may not ${verb} the connector ${JSON.stringify(metadata.name)}`,
        );
    }
    return withSecretOf(connector, now);
  });
  await record(parts, { code: created ? "T4140I" : "T4141I", user: caller.name, kind, name: metadata.name });
  return { created };
}

/** Throws `not_found`. */
export async function deleteConnector(
  parts: Parts,
  kind: ConnectorKind,
  name: string,
  caller: Caller,
): Promise<void> {
  const connector = await parts.store.connectors.get(`${kind}/${name}`);
  if (!caller.can("delete", "auth_connector", connector))
    throw new Fault("access_denied", `${caller.name} may not delete the connector ${JSON.stringify(name)}`);
  await parts.store.connectors.delete(`${kind}/${name}`);
  await record(parts, { code: "T4142I", user: caller.name, kind, name });
}

function withSecretOf(given: Connector, now: Connector | undefined): Connector {
  if (given.kind === "saml") {
    const pair = given.spec.signing_key_pair;
    const kept = now?.kind === "saml" ? now.spec.signing_key_pair : undefined;
    if (!pair || pair.private_key !== undefined || pair.cert !== kept?.cert) return given;
    return { ...given, spec: { ...given.spec, signing_key_pair: kept } };
  }
  const kept = now && now.kind !== "saml" ? now.spec.client_secret : undefined;
  const client_secret = given.spec.client_secret || kept;
  if (!client_secret) {
    throw new Fault(
      "bad_parameter",
      `the connector ${JSON.stringify(given.metadata.name)} has no spec.client_secret; take it from the provider's page of your application`,
    );
  }
  return { ...given, spec: { ...given.spec, client_secret } } as Connector;
}

/** Refuses a connector by which nobody could log in, or could not be asked for. Throws `bad_parameter`. */
function checkConnector(connector: Connector): void {
  const { name } = connector.metadata;
  const refuse = (why: string): never => {
    throw new Fault("bad_parameter", `the connector ${JSON.stringify(name)}: ${why}`);
  };
  // What --auth means by it (AUTH-74).
  if (name === "local") refuse("this name stands for logins with a password; take another");
  if (connector.kind === "saml") return;
  if (!/^https?:$/.test(new URL(connector.spec.redirect_url).protocol))
    refuse("spec.redirect_url is no https:// address");
  if (connector.kind !== "oidc") return;
  if (!/^https?:$/.test(new URL(connector.spec.issuer_url).protocol))
    refuse("spec.issuer_url is no https:// address");
  for (const { claim, value } of connector.spec.claims_to_roles) {
    try {
      valueMapper(value);
    } catch (cause) {
      refuse(`spec.claims_to_roles, claim ${claim}: ${(cause as Error).message}`);
    }
  }
}
