import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";

const generate = promisify(generateKeyPair);

export type TlsKeyType = "ecdsa-p256" | "rsa-2048";

/** Makes a key pair off the main thread: SubjectPublicKeyInfo and PKCS#8, both PEM. */
export async function makeTlsKey(type: TlsKeyType): Promise<{ publicKey: string; privateKey: string }> {
  const { publicKey, privateKey } =
    type === "rsa-2048"
      ? await generate("rsa", { modulusLength: 2048 })
      : await generate("ec", { namedCurve: "prime256v1" });
  return {
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
