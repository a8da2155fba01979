import {
  BearerSession,
  Done,
  type LoginRequest,
  type PasswordRequest,
  type SignupRequest,
  webPaths,
} from "#contract/web";
import { request } from "../api/request.ts";
import { bearer, drop, hold, renewIn } from "./session.ts";

export async function signIn(login: LoginRequest): Promise<void> {
  hold(await request(BearerSession, "POST", webPaths.sessions, login));
}

/** Takes up the session that an identity provider's answer brought on the way here. */
export async function takeUp(): Promise<void> {
  hold(await request(BearerSession, "POST", webPaths.sso));
}

export async function signUp(signup: SignupRequest): Promise<void> {
  hold(await request(BearerSession, "POST", webPaths.users, signup));
}

/** Other browsers of the same person are signed out by it; this one goes on with the session in the answer. */
export async function changePassword(before: string, after: string, code: string): Promise<void> {
  const change = {
    old_password: base64(before),
    new_password: base64(after),
    second_factor_token: code,
  };
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
