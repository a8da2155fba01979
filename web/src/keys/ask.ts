import { startAuthentication, startRegistration, WebAuthnError } from "@simplewebauthn/browser";
import type { KeyAnswer, KeyCreated, KeyCreation, KeyRequest } from "#contract/webauthn";
import { Fault } from "#core/errors";

/** Has the person touch a new security key. Throws a `Fault` with a sentence that says what to do. */
export const enrolKey = (asked: KeyCreation): Promise<KeyCreated> =>
  inWords(async () => {
    const { id, rawId, type, response } = await startRegistration({ optionsJSON: asked });
    const { clientDataJSON, attestationObject, transports = [] } = response;
    return {
      id,
      rawId,
      type,
      response: { clientDataJSON, attestationObject, transports },
      clientExtensionResults: {},
    };
  });

/** Has the person touch one of the security keys that are theirs. */
export const touchKey = (asked: KeyRequest): Promise<KeyAnswer> =>
  inWords(async () => {
    const { id, rawId, type, response } = await startAuthentication({ optionsJSON: asked });
    const { clientDataJSON, authenticatorData, signature } = response;
    return {
      id,
      rawId,
      type,
      response: { clientDataJSON, authenticatorData, signature },
      clientExtensionResults: {},
    };
  });

async function inWords<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    throw new Fault("access_denied", sentence(cause), { cause });
  }
}

function sentence(error: unknown): string {
  if (!window.isSecureContext || !("PublicKeyCredential" in window))
    return "this browser asks no security key here: the page needs a certificate that it trusts";
  const { name = "" } = error instanceof Error ? error : {};
  const code = error instanceof WebAuthnError ? error.code : "";
  if (code === "ERROR_INVALID_DOMAIN" || code === "ERROR_INVALID_RP_ID" || name === "SecurityError")
    return `security keys do not work for ${location.hostname}; use the address that your administrator gave you`;
  if (code === "ERROR_AUTHENTICATOR_PREVIOUSLY_REGISTERED" || name === "InvalidStateError")
    return "this security key is enrolled already; use another one";
  return "no security key of yours was touched, or the browser could not ask it; try again";
}
