/** As much of it as our stand-in uses; the package brings no types. */
declare module "oidc-provider" {
  import type { IncomingMessage, ServerResponse } from "node:http";

  interface Grant {
    addOIDCScope(scope: string): void;
    save(): Promise<string>;
  }
  interface Context {
    readonly oidc: {
      readonly provider: Provider;
      readonly session?: { readonly accountId?: string };
      readonly client?: { readonly clientId: string };
    };
  }
  interface Configuration {
    readonly [key: string]: unknown;
    readonly findAccount: (context: Context, sub: string) => { accountId: string; claims(): object };
    readonly interactions: { url(context: Context, interaction: { readonly uid: string }): string };
    readonly loadExistingGrant: (context: Context) => Promise<Grant>;
  }
  export default class Provider {
    constructor(issuer: string, configuration: Configuration);
    readonly Grant: new (of: {
      accountId: string;
      clientId: string;
    }) => Grant;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  }
}
