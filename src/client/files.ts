import { randomUUID } from "node:crypto";
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Writes a file so that it is there whole or not at all; nobody else can read it before it has its mode. */
export async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  await using file = await open(temporary, "wx", 0o600);
  await file.writeFile(text);
  await file.chmod(mode);
  await rename(temporary, path);
}
