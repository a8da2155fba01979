import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Config } from "#config";
import type { Clock } from "#core/clock";

/** What there is to say of a license: of a good one for `tctl status`, of one that is no good for the operator. */
export type License = { readonly good: string } | { readonly warning: string } | undefined;

/**
 * The file that `license_file` names, else `<data_dir>/license.pem` if it is there (AUTH-140). No license is ever needed, so
 * one that is missing, broken or over is not more than a warning. Never throws.
 */
export async function license(
  { auth_service, teleport }: Pick<Config, "auth_service" | "teleport">,
  clock: Pick<Clock, "now">,
): Promise<License> {
  const named = auth_service.license_file;
  const path = resolve(teleport.data_dir, named ?? "license.pem");
  const complaint = (why: string): License => ({
    warning: `auth_service.license_file: ${path} ${why}; nothing needs a license, so take it out or mend it`,
  });
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (err) {
    const gone = ["ENOENT", "ENOTDIR"].includes((err as NodeJS.ErrnoException).code ?? "");
    if (gone) return named === undefined ? undefined : complaint("is not there");
    return complaint("cannot be read");
  }
  try {
    const certificate = new X509Certificate(text);
    if (!certificate.checkPrivateKey(createPrivateKey(text)))
      return complaint("has the key of another certificate");
    const end = Date.parse(certificate.validTo);
    if (end <= clock.now()) return complaint(`has expired on ${day(end)}`);
    const owner = /^(?:CN|O)=(.+)$/m.exec(certificate.subject ?? "")?.[1] ?? "a license";
    return { good: `${owner}, valid until ${day(end)} (${path})` };
  } catch {
    return complaint("holds no certificate with its key");
  }
}

const day = (time: number): string => new Date(time).toISOString().slice(0, 10);
