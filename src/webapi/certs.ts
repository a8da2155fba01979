import type { IssuedCerts } from "#contract/auth";
import { type CertsAnswer, CertsRequest } from "#contract/web";
import type { Millis } from "#core/clock";
import { type App, clientAddress, parse } from "#net";
import type { AddressLimits } from "./limits.ts";
import type { WebApiOptions } from "./options.ts";

/** `tsh login`: password and second factor for certificates (WEB-18). */
export function certRoutes(api: App, { auth }: WebApiOptions, { logins }: AddressLimits): void {
  api.post("/ssh/certs", async (request): Promise<CertsAnswer> => {
    logins.take(request.raw.socket);
    const { user, password, otp_token, pub_key, tls_pub_key, ttl, compatibility } = parse(
      CertsRequest,
      request.body,
    );
    const issued = await auth["logins.certs"]({
      user,
      password,
      otp_token,
      pub_key,
      ...(tls_pub_key && { tls_pub_key }),
      ttl: milliseconds(ttl),
      compatibility,
      client_addr: clientAddress(request.raw.socket),
    });
    return certsAnswer(issued);
  });
}

/** What was issued, as clients get it. */
export const certsAnswer = (issued: IssuedCerts): CertsAnswer => ({
  username: issued.username,
  ...(issued.cert !== undefined && { cert: base64(issued.cert) }),
  ...(issued.tls_cert !== undefined && { tls_cert: base64(issued.tls_cert) }),
  host_signers: issued.host_signers.map(({ domain_name, checking_keys, tls_certs }) => ({
    domain_name,
    checking_keys: checking_keys.map(base64),
    tls_certs: tls_certs.map(base64),
  })),
});

/** The web API counts nanoseconds, everything behind it milliseconds. */
export const milliseconds = (nanoseconds: number): Millis => Math.max(1, Math.floor(nanoseconds / 1e6));

const base64 = (text: string): string => Buffer.from(text).toString("base64");
