/** Keys, certificates and their text forms. Opens no file: callers bring and keep the text. */
export { offeredAlgorithms, plainAlgorithm } from "./algorithms.ts";
export { type CertificateCheck, checkCertificate } from "./check.ts";
export { type CertificateRequest, issueCertificate, noExpiry } from "./issue.ts";
export type { Certificate, PublicKey, Signer } from "./key.ts";
export { hostVerifier, type KnownHost, parseKnownHosts } from "./known-hosts.ts";
export { generateKey, PrivateKey } from "./private.ts";
export type { KeyPair } from "./private-fields.ts";
export { formatPrivateKey, parsePrivateKey } from "./private-text.ts";
export { fingerprint, parsePublicKey, sameKey } from "./public.ts";
export { signerOf, signMessage } from "./sshsig.ts";
export { formatPublicKeyLine, type PublicKeyLine, parsePublicKeyLine } from "./text.ts";
