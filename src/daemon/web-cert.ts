import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#core/clock";
import { Fault } from "#core/errors";
import { type ChainVerdict, checkTlsPair, judgeChain, type TlsPair } from "#net";
import { makeSelfSigned, validity } from "#pki";
import { writeWhole } from "./data-dir.ts";

/**
 * The web port's certificate and key: the operator's files (CFG-87), else a self-signed pair in the data directory, made
 * at the first start and anew when it has run out (OVW-39). Throws as `operatorPair`.
 */
export async function webCertificate(options: {
  readonly files: { readonly key: string | undefined; readonly cert: string | undefined };
  readonly dataDir: string;
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly clock: Clock;
}): Promise<TlsPair & { readonly selfSigned: boolean }> {
  const own = await operatorPair(options.files, options.clock);
  if (own) return { ...own.pair, selfSigned: own.verdict === "self-signed" };
  const path = (name: string): string => join(options.dataDir, `webproxy_${name}.pem`);
  const [oldCert, oldKey] = await Promise.all(
    [path("cert"), path("key")].map((file) => readFile(file, "utf8").catch(() => undefined)),
  );
  if (oldCert !== undefined && oldKey !== undefined && validity(oldCert).notAfter > options.clock.now()) {
    return { cert: oldCert, key: oldKey, selfSigned: true };
  }
  const made = await makeSelfSigned({
    commonName: options.dnsNames[0] ?? "localhost",
    dnsNames: options.dnsNames,
    ips: options.ips,
    now: options.clock.now(),
  });
  await writeWhole(path("key"), made.key);
  await writeWhole(path("cert"), made.cert);
  await writeWhole(path("pub"), made.publicKey);
  return { cert: made.cert, key: made.key, selfSigned: true };
}

/**
 * The files of `https_key_file` and `https_cert_file`, if they are set. Throws `not_found` or `access_denied` for one that
 * cannot be read, `bad_parameter` for a pair that does not fit or a chain that nobody would believe (CFG-87).
 */
export async function operatorPair(
  { key, cert }: { readonly key: string | undefined; readonly cert: string | undefined },
  clock: Pick<Clock, "now">,
): Promise<{ readonly pair: TlsPair; readonly verdict: ChainVerdict } | undefined> {
  if (key === undefined || cert === undefined) return undefined;
  const pair = { key: await read(key, "https key"), cert: await read(cert, "https cert") };
  checkTlsPair(pair);
  const verdict = judgeChain(pair.cert, clock.now());
  if (typeof verdict === "object")
    throw new Fault("bad_parameter", `the https cert ${cert} does not verify: ${verdict.problem}`);
  return { pair, verdict };
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const gone = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new Fault(
      gone ? "not_found" : "access_denied",
      gone
        ? `${what} does not exist: ${path}`
        : `cannot read the ${what} ${path}: ${(cause as Error).message}`,
      { cause },
    );
  }
}
