import {
  BearerSession,
  Done,
  type LoginRequest,
  type PasswordRequest,
  type SignupRequest,
  webPaths,
} from "#contract/web";
import { type KeyCreated, KeyCreation, KeyRequest } from "#contract/webauthn";
import { request } from "../api/request.ts";
import { enrolKey, touchKey } from "../keys/ask.ts";
import { bearer, drop, hold, renewIn } from "./session.ts";

export async function signIn(login: LoginRequest): Promise<void> {
  hold(await request(BearerSession, "POST", webPaths.sessions, login));
}

/** Takes up the session that an identity provider's answer brought on the way here. */
export async function takeUp(): Promise<void> {
  hold(await request(BearerSession, "POST", webPaths.sso));
}

/** The password first; then the user's own security keys are asked. */
export async function signInWithKey(login: { user: string; pass: string }): Promise<void> {
  const asked = await request(KeyRequest, "POST", webPaths.keyChallenge, login);
  const webauthn = await touchKey(asked);
  hold(await request(BearerSession, "POST", webPaths.keySessions, { user: login.user, webauthn }));
}

/** Enrols so many security keys with the invitation, one after the other; `next` tells the number of the one that is asked for. */
export async function signUpWithKeys(
  signup: Omit<SignupRequest, "webauthn">,
  count: number,
  next: (number: number) => void,
): Promise<void> {
  const { invite_token } = signup;
  const webauthn: KeyCreated[] = [];
  while (webauthn.length < count) {
    next(webauthn.length + 1);
    const asked = await request(KeyCreation, "POST", webPaths.keySignup, { invite_token });
    const excludeCredentials = webauthn.map(({ id, type, response: { transports } }) => ({
      id,
      type,
      transports,
    }));
    webauthn.push(await enrolKey({ ...asked, excludeCredentials }));
  }
  await signUp({ ...signup, webauthn });
}

export async function signUp(signup: SignupRequest): Promise<void> {
  hold(await request(BearerSession, "POST", webPaths.users, signup));
}

/**
 * Other browsers of the same person are signed out by it; this one goes on with the session in the answer. `factor`: a code, or that a
 * security key is to be asked.
 */
export async function changePassword(
  before: string,
  after: string,
  factor: { readonly code: string } | "key",
): Promise<void> {
  const old_password = base64(before);
  const proof =
    factor === "key"
      ? {
          webauthn: await touchKey(await request(KeyRequest, "POST", webPaths.keyPassword, { old_password })),
        }
      : { second_factor_token: factor.code };
  const change = { old_password, new_password: base64(after), ...proof };
  hold(await request(BearerSession, "PUT", webPaths.password, change satisfies PasswordRequest));
}

const base64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** Over here at once; the proxy hears of it as well as it can. */
export async function signOut(): Promise<void> {
  try {
    await request(Done, "DELETE", webPaths.sessions);
  } finally {
    drop();
  }
}

/** Renews the session if it is time. Of several tabs one does it; a renewal ends the session it renews. */
export function renew(): Promise<void> {
  return navigator.locks.request("teleport.renew", async () => {
    if (bearer() === undefined || renewIn() !== 0) return;
    hold(await request(BearerSession, "POST", webPaths.renew));
  });
}
