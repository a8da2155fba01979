import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { Fault } from "./errors.ts";

// How an answer travels through a browser that is not to read it (AUTH-66): AES-256-GCM, as the JSON text
// `{"ciphertext","nonce"}`, both base64, the ciphertext with its 16 bytes of tag behind it.

const [keyLength, nonceLength, tagLength] = [32, 12, 16]; // bytes

/** 32 bytes as 64 hex digits. */
export const newSealingKey = (): string => randomBytes(keyLength).toString("hex");

/** `value` as JSON, for whoever holds `key`, the 64 hex digits of `newSealingKey`. */
export function seal(value: unknown, key: string): string {
  const nonce = randomBytes(nonceLength);
  const cipher = createCipheriv("aes-256-gcm", Buffer.from(key, "hex"), nonce);
  const ciphertext = Buffer.concat([
    cipher.update(JSON.stringify(value)),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  return JSON.stringify({ ciphertext: ciphertext.toString("base64"), nonce: nonce.toString("base64") });
}

/** What `seal` was given. Throws `access_denied` for what was sealed with another key, changed, or is no such text. */
export function unseal(text: string, key: string): unknown {
  try {
    const { ciphertext, nonce } = JSON.parse(text) as Record<string, unknown>;
    const sealed = Buffer.from(String(ciphertext), "base64");
    const decipher = createDecipheriv(
      "aes-256-gcm",
      Buffer.from(key, "hex"),
      Buffer.from(String(nonce), "base64"),
      { authTagLength: tagLength },
    );
    decipher.setAuthTag(sealed.subarray(-tagLength));
    const plain = Buffer.concat([decipher.update(sealed.subarray(0, -tagLength)), decipher.final()]);
    return JSON.parse(plain.toString());
  } catch (cause) {
    throw new Fault("access_denied", "the sealed answer was not made for this login", { cause });
  }
}
