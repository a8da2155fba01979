import { Fault } from "#core/errors";
import { type Connector, valueMapper } from "#model";

/** Refuses a connector by which nobody could log in, or could not be asked for. Throws `bad_parameter`. */
export function checkConnector(connector: Connector): void {
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
