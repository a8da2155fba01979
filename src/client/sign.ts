import type { AuthClient } from "#authclient";
import type { Millis } from "#core/clock";
import { Fault } from "#core/errors";
import { makeTlsKey } from "#pki";
import {
  formatPrivateKey,
  formatPublicKeyLine,
  generateKey,
  type PrivateKey,
  parsePublicKeyLine,
  sameKey,
} from "#ssh/keys";
import { credentialsOf } from "./issued.ts";
import type { Credentials } from "./keystore.ts";

/** Kinds of SSH keys; the TLS key beside one is RSA or ECDSA. */
type KeyType = "ed25519" | "ecdsa" | "rsa";

interface UserSigning {
  readonly user: string;
  readonly ttl: Millis;
  readonly keyType: KeyType;
  readonly compatibility: "" | "standard" | "oldssh";
  /** Which keys are to be certified. */
  readonly keys: "ssh" | "tls" | "both";
}

/** Has new keys certified for an account, by an administrator's connection. The private keys stay here. */
export async function signUser(
  auth: Pick<AuthClient, "users.sign">,
  { user, ttl, keyType, compatibility, keys }: UserSigning,
  signal: AbortSignal,
): Promise<Credentials> {
  const [key, tlsKey] = await Promise.all([
    newKey(keyType),
    keys === "ssh" ? undefined : makeTlsKey(keyType === "rsa" ? "rsa-2048" : "ecdsa-p256"),
  ]);
  const issued = await auth["users.sign"](
    {
      user,
      ttl,
      compatibility,
      ...(keys !== "tls" && { pub_key: base64(publicLine(key)) }),
      ...(tlsKey && { tls_pub_key: base64(tlsKey.publicKey) }),
    },
    signal,
  );
  const credentials = credentialsOf(user, { key, tlsKey: tlsKey?.privateKey }, issued);
  if (!credentials) throw senseless();
  return credentials;
}

/** A private key and what certifies it, as OpenSSH reads them. */
interface KeyFiles {
  readonly key: string;
  /** With a line end. */
  readonly certificate: string;
}

/** Has a new key certified for a host that is no member. Without `ttl` the certificate does not end. */
export async function signHost(
  auth: Pick<AuthClient, "hosts.sign">,
  {
    names,
    ttl,
    keyType,
  }: { readonly names: readonly string[]; readonly ttl: Millis | undefined; readonly keyType: KeyType },
  signal: AbortSignal,
): Promise<KeyFiles> {
  const key = await newKey(keyType);
  const { cert } = await auth["hosts.sign"](
    { names: [...names], pub_key: base64(publicLine(key)), ...(ttl !== undefined && { ttl }) },
    signal,
  );
  const { certificate } = parsePublicKeyLine(cert).key;
  if (certificate?.type !== "host" || !sameKey(certificate.key, key.publicKey)) throw senseless();
  return { key: formatPrivateKey(key), certificate: `${cert}\n` };
}

/** A new key pair that nobody certified. */
export async function makeKeyPair(keyType: KeyType): Promise<{ key: string; publicKey: string }> {
  const key = await newKey(keyType);
  return { key: formatPrivateKey(key), publicKey: `${publicLine(key)}\n` };
}

const newKey = (type: KeyType): Promise<PrivateKey> =>
  generateKey(type === "rsa" ? "rsa-2048" : type === "ecdsa" ? "ecdsa-p256" : "ed25519");
const publicLine = ({ publicKey }: PrivateKey): string => formatPublicKeyLine({ key: publicKey });
const base64 = (plain: string): string => Buffer.from(plain).toString("base64");
const senseless = (): Fault =>
  new Fault("protocol", "the auth server's answer makes no sense to this tctl; is it of another version?");
