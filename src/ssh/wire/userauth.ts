import { boolean, bytes, message, nameList, rest, text } from "./codec.ts";
import { structure } from "./structure.ts";

/** RFC 4252 §5. `request` is what the method adds. */
export const UserauthRequest = message(50, "SSH_MSG_USERAUTH_REQUEST", {
  userName: text,
  serviceName: text,
  methodName: text,
  request: rest,
});
export const UserauthFailure = message(51, "SSH_MSG_USERAUTH_FAILURE", {
  canContinue: nameList,
  partialSuccess: boolean,
});
export const UserauthSuccess = message(52, "SSH_MSG_USERAUTH_SUCCESS", {});
/** RFC 4252 §5.4. Text for people: bytes here, since a bad encoding is no reason to end a connection. */
export const UserauthBanner = message(53, "SSH_MSG_USERAUTH_BANNER", { message: bytes, languageTag: bytes });
/** RFC 4252 §7: the answer to a key query. */
export const UserauthPkOk = message(60, "SSH_MSG_USERAUTH_PK_OK", { algorithm: text, publicKey: bytes });

/** RFC 4252 §7: what method `publickey` adds: a query whether the key would do, or the request itself. */
export const PublicKeyQuery = structure("publickey query", {
  hasSignature: boolean,
  algorithm: text,
  publicKey: bytes,
});
export const PublicKeySigned = structure("publickey request", {
  hasSignature: boolean,
  algorithm: text,
  publicKey: bytes,
  signature: bytes,
});

/** RFC 4252 §7: what the client's key signs; `request` is the whole payload of the request up to its signature. */
export const SignedRequest = structure("signed request", { sessionId: bytes, request: rest });
