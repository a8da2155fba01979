import { PublicKeyQuery, SignedRequest, UserauthRequest } from "../wire/userauth.ts";

/** The service that authentication leads to, and the one it is (RFC 4252 §5, §4). */
export const connectionService = "ssh-connection";
export const userauthService = "ssh-userauth";

/** A publickey request up to its signature; as it stands, a query when `hasSignature` is false (RFC 4252 §7). */
export function publicKeyRequest(
  user: string,
  algorithm: string,
  publicKey: Uint8Array,
  hasSignature: boolean,
): Uint8Array {
  return UserauthRequest.encode({
    userName: user,
    serviceName: connectionService,
    methodName: "publickey",
    request: PublicKeyQuery.encode({ hasSignature, algorithm, publicKey }),
  });
}

/** The bytes a publickey signature is over: it holds for one session, user, service, algorithm and key (RFC 4252 §7). */
export function signedBytes(
  sessionId: Uint8Array,
  user: string,
  algorithm: string,
  publicKey: Uint8Array,
): Uint8Array {
  return SignedRequest.encode({ sessionId, request: publicKeyRequest(user, algorithm, publicKey, true) });
}
