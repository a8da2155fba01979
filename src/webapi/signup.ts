import { type Invite, PasswordRequest, SignupRequest } from "#contract/web";
import { type App, clientAddress, parse } from "#net";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";
import { qrPng } from "./qr.ts";
import { authenticate, openSession } from "./session.ts";

/** Becoming a user by an invitation, and changing one's password (WEB-15..17). */
export function signupRoutes(api: App, { auth, clock }: WebApiOptions, { logins }: AddressLimits): void {
  api.get<{ Params: { token: string } }>("/users/invites/:token", async (request): Promise<Invite> => {
    logins.take(request.raw.socket);
    const { token } = request.params;
    const { user, second_factor, otp_uri, reset } = await auth["signups.get"]({ token });
    const secret = otp_uri === undefined ? null : new URL(otp_uri).searchParams.get("secret");
    return {
      invite_token: token,
      user,
      second_factor,
      qr: otp_uri === undefined ? "" : Buffer.from(qrPng(otp_uri)).toString("base64"),
      ...(secret !== null && { otp_secret: secret }),
      ...(reset && { reset }),
    };
  });

  api.post("/users", async (request, reply) => {
    logins.take(request.raw.socket);
    const { invite_token, pass, second_factor_token, webauthn } = parse(SignupRequest, request.body);
    const session = await auth["signups.complete"]({
      token: invite_token,
      password: pass,
      otp_token: second_factor_token,
      webauthn,
      client_addr: clientAddress(request.raw.socket),
    });
    return openSession(session, reply, clock);
  });

  api.put("/users/password", async (request, reply) => {
    logins.take(request.raw.socket);
    const { user } = await authenticate(request, auth);
    const { old_password, new_password, second_factor_token, webauthn } = parse(
      PasswordRequest,
      request.body,
    );
    const session = await auth["users.change_password"]({
      user: user.metadata.name,
      password: old_password,
      new_password,
      otp_token: second_factor_token,
      ...(webauthn && { webauthn }),
      client_addr: clientAddress(request.raw.socket),
    });
    return { message: "ok", ...openSession(session, reply, clock) };
  });
}
