import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Config } from "#config";

/**
 * What to tell the operator of `license_file`, which is never needed: that the file which the key names is no good, or
 * that `<data_dir>/license.pem` is there and is none (AUTH-140). Never throws.
 */
export async function licenseWarning({ auth_service, teleport }: Config): Promise<string | undefined> {
  const named = auth_service.license_file;
  const path = resolve(teleport.data_dir, named ?? "license.pem");
  const complaint = (why: string): string =>
    `auth_service.license_file: ${path} ${why}; nothing needs a license, so take it out or mend it`;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (err) {
    const gone = ["ENOENT", "ENOTDIR"].includes((err as NodeJS.ErrnoException).code ?? "");
    if (gone) return named === undefined ? undefined : complaint("is not there");
    return complaint("cannot be read");
  }
  try {
    const fits = new X509Certificate(text).checkPrivateKey(createPrivateKey(text));
    return fits ? undefined : complaint("has the key of another certificate");
  } catch {
    return complaint("holds no certificate with its key");
  }
}
