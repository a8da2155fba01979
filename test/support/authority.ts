import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { mustRun } from "./run.ts";
import type { TempDir } from "./temp-dir.ts";

/** Paths of an authority that nobody else knows, and of what it certified for `localhost`. */
export interface Authority {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** A home whose browsers believe the authority. */
  readonly home: string;
}

/** Made by openssl and certutil (Chromium looks for authorities of people's own in an NSS database of their home). */
export async function makeAuthority(folder: TempDir): Promise<Authority> {
  const [ca, caKey, cert, key] = ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"].map((name) =>
    folder.at(name),
  ) as [string, string, string, string];
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const extension = (text: string): string[] => ["-addext", text];
  await mustRun("openssl", [
    ...["req", "-x509", ...newKey, "-subj", "/CN=An authority for tests", "-keyout", caKey, "-out", ca],
    ...extension("keyUsage=critical,keyCertSign"),
  ]);
  await mustRun("openssl", [
    ...["req", "-x509", "-CA", ca, "-CAkey", caKey, ...newKey, "-subj", "/CN=localhost"],
    ...["-keyout", key, "-out", cert, ...extension("subjectAltName=DNS:localhost")],
    ...extension("basicConstraints=critical,CA:FALSE"),
    ...extension("extendedKeyUsage=serverAuth"),
  ]);
  const home = folder.at("browser-home");
  const database = `${home}/.pki/nssdb`;
  await mkdir(database, { recursive: true });
  const nss = (...args: string[]): Promise<string> => mustRun("certutil", ["-d", `sql:${database}`, ...args]);
  await nss("-N", "--empty-password");
  await nss("-A", "-t", "C,,", "-n", "tests", "-i", ca);
  return { ca, cert, key, home };
}

/** A folder for PATH in which `xdg-open` writes the address it is given to `to` and opens nothing. */
export async function fakeOpener(path: string, to: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\nprintf %s "$1" > '${to}.new' && mv '${to}.new' '${to}'\n`, {
    mode: 0o755,
  });
  return dirname(path);
}
