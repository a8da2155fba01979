import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#core/errors";
import { authorityPin } from "#pki";
import { writeWhole } from "./data-dir.ts";

const pathIn = (dataDir: string): string => join(dataDir, "ca.cert");

/** What the operator put there to verify the auth server by. One that cannot be used must not turn into blind faith. */
export async function placedAuthority(dataDir: string): Promise<string | undefined> {
  const path = pathIn(dataDir);
  let pem: string;
  try {
    pem = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Fault("access_denied", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    authorityPin(pem);
    return pem;
  } catch (cause) {
    throw new Fault(
      "bad_parameter",
      `${path} holds no certificate; put there what \`tctl auth export --type=tls\` prints on the auth server`,
      { cause },
    );
  }
}

/**
 * Lets that file follow a rotation of the authority that is in it. One of another authority, or none, stays as it is: it says what
 * the operator wants to trust. Rejects when it cannot be written.
 */
export async function followPlaced(
  dataDir: string,
  authority: { readonly before: readonly string[]; readonly now: readonly string[] },
): Promise<void> {
  const placed = await placedAuthority(dataDir).catch(() => undefined);
  if (placed === undefined) return;
  const wanted = authority.now.map((pem) => `${pem.trimEnd()}\n`).join("");
  const known = [...authority.before, ...authority.now].map(authorityPin);
  if (placed === wanted || !known.includes(authorityPin(placed))) return;
  await writeWhole(pathIn(dataDir), wanted, (await stat(pathIn(dataDir))).mode & 0o777);
}
