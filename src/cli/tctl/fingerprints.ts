/** What a PEM block holds. */
export const pemBytes = (pem: string): Uint8Array =>
  Buffer.from(pem.replace(/-----[^-]+-----/g, "").replace(/\s/g, ""), "base64");

/** `SHA256:` and unpadded base64, as ssh-keygen -l prints it. */
export async function fingerprintOf(blob: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", Uint8Array.from(blob));
  return `SHA256:${Buffer.from(digest).toString("base64").replace(/=+$/, "")}`;
}
