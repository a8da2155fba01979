import { appendFile, readFile } from "node:fs/promises";
import { Fault } from "#core/errors";
import { formatPublicKeyLine, type KnownHost, type PublicKey, parseKnownHosts } from "#ssh/keys";

/** The lines of a known_hosts file of OpenSSH's; none when there is no such file. Throws `bad_parameter`. */
export async function readKnownHosts(path: string): Promise<KnownHost[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new Fault("bad_parameter", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  return parseKnownHosts(text);
}

/** Adds a host's plain key, `host` as in `HostKey`: `name:port@cluster`. The cluster cannot be told there. */
export async function addKnownHost(
  path: string,
  { host, key }: { host: string; key: PublicKey },
): Promise<void> {
  const [, name = host, port = "0"] = /^(.*):(\d+)@[^@]*$/.exec(host) ?? [];
  const where = ["0", "22"].includes(port) ? name : `[${name}]:${port}`;
  try {
    await appendFile(path, `${where} ${formatPublicKeyLine({ key })}\n`, { mode: 0o600 });
  } catch (cause) {
    throw new Fault("bad_parameter", `cannot write to ${path}: ${(cause as Error).message}`, { cause });
  }
}
